using GatedFwa.Tensors;

namespace GatedFwa.Models;

/// <summary>How a parameter begins: N(0, <paramref name="Deviation"/>) around <paramref name="Mean"/>.</summary>
/// <param name="Mean">The mean; the value itself where the deviation is 0.</param>
/// <param name="Deviation">The standard deviation.</param>
public readonly record struct Initialisation(float Mean, float Deviation);

/// <summary>One parameter of a model: what it is called in a checkpoint, its shape, whether weight decay applies, how it begins.</summary>
/// <param name="Name">Its name, such as <c>layers.0.attention.query.weight</c>.</param>
/// <param name="Shape">Its extents.</param>
/// <param name="Decays">Whether weight decay applies.</param>
/// <param name="Initial">How it begins.</param>
public sealed record ParameterSpec(string Name, Shape Shape, bool Decays, Initialisation Initial)
{
    /// <summary>The name of the matrix that it is rows of, in the order of the plan, on a GPU: one product then reads all of them.</summary>
    internal string? Stack { get; init; }
}

/// <summary>
/// The list of a model's parameters, known from its configuration alone: a loader can hold a file against it before a byte of
/// memory is taken.
/// </summary>
/// <remarks>
/// Weight decay applies to the matrices that features pass through, the tied embedding included: as output projection each of
/// its rows gets a gradient at every step. It does not apply to norms, biases, the gates and the token shift (their zero is no
/// neutral point: it means forgetting half), nor to an untied input embedding, whose rare rows would only shrink between their
/// occurrences.
/// </remarks>
public static class ParameterPlan
{
    private const float Deviation = 0.02f;

    // Rows of a joint result begin at multiples of 16 bytes where its columns are a multiple of this, whatever the type.
    private const int JointColumns = 8;

    /// <summary>The parameters in the order of the forward pass.</summary>
    /// <param name="config">A validated configuration.</param>
    public static IEnumerable<ParameterSpec> Of(ModelConfig config)
    {
        yield return Matrix("embedding.weight", config.VocabularySize, config.Width) with { Decays = config.TiedEmbedding };
        for (int layer = 0; layer < config.Layers; layer++)
        {
            foreach (ParameterSpec spec in Block(config, $"layers.{layer}.")) yield return spec;
        }

        yield return Norm("norm.weight", config.Width);
        if (!config.TiedEmbedding) yield return Matrix("head.weight", config.VocabularySize, config.Width);
    }

    private static IEnumerable<ParameterSpec> Block(ModelConfig config, string block)
    {
        int width = config.Width, keyWidth = config.KeyHeads * config.HeadSize;
        string attention = block + "attention.", feedForward = block + "feed_forward.";
        // Two residual sums a layer: their variance must not grow with depth (GPT-2).
        var residual = new Initialisation(0, Deviation / MathF.Sqrt(2 * config.Layers));
        int projected = width + (2 * keyWidth) + (2 * config.KeyHeads) + (config.Gate ? 2 * config.Heads : 0);
        // Attention itself reads no columns in place: each projection must pass through a norm or a token shift first.
        string? projections = config.TokenShift && config.QkNorm && projected % JointColumns == 0 ? attention : null;
        string? hidden = config.FeedForwardWidth % JointColumns == 0 ? feedForward : null;

        yield return Norm(block + "attention_norm.weight", width);
        yield return Matrix(attention + "query.weight", width, width) with { Stack = projections };
        yield return Matrix(attention + "key.weight", keyWidth, width) with { Stack = projections };
        yield return Matrix(attention + "value.weight", keyWidth, width) with { Stack = projections };
        if (config.TokenShift)
        {
            yield return Matrix(attention + "key_shift.weight", config.KeyHeads, width) with { Decays = false, Stack = projections };
            yield return Matrix(attention + "value_shift.weight", config.KeyHeads, width) with { Decays = false, Stack = projections };
        }

        if (config.QkNorm)
        {
            yield return Norm(attention + "query_norm.weight", width);
            yield return Norm(attention + "key_norm.weight", keyWidth);
        }

        if (config.Gate)
        {
            yield return Matrix(attention + "gate.weight", config.Heads, width) with { Decays = false, Stack = projections };
            yield return new(attention + "gate.bias", [config.Heads], false, new(config.GateBias, 0));
            yield return new(attention + "gate.amplitude.weight", [config.Heads, width], false, new(0, 0)) { Stack = projections };
        }

        if (config.NativeSparse is not null)
        {
            yield return Matrix(attention + "branch_gate.weight", 3 * config.Heads, width) with { Decays = false };
            yield return new(attention + "branch_gate.bias", [3 * config.Heads], false, new(0, 0));
        }

        yield return Matrix(attention + "output.weight", width, width) with { Initial = residual };
        if (config.FeedForwardWidth == 0) yield break;
        yield return Norm(block + "feed_forward_norm.weight", width);
        yield return Matrix(feedForward + "gate.weight", config.FeedForwardWidth, width) with { Stack = hidden };
        yield return Matrix(feedForward + "value.weight", config.FeedForwardWidth, width) with { Stack = hidden };
        yield return Matrix(feedForward + "output.weight", width, config.FeedForwardWidth) with { Initial = residual };
    }

    private static ParameterSpec Matrix(string name, int rows, int columns) => new(name, [rows, columns], true, new(0, Deviation));

    private static ParameterSpec Norm(string name, int width) => new(name, [width], false, new(1, 0));
}
