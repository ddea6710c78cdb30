namespace GatedFwa.Models;

/// <summary>
/// A way for tokens to see each other, by the name it has in the command and in tables: the models that the paper compares
/// (arXiv 2512.07782), all made by one code from one configuration.
/// </summary>
/// <example><code>ModelConfig baseline = Mixer.Parse("window").In(ModelConfig.Preset("tiny"));</code></example>
public sealed record Mixer
{
    private readonly Func<ModelConfig, ModelConfig> _apply;

    private Mixer(string name, string description, Func<ModelConfig, ModelConfig> apply) =>
        (Name, Description, _apply) = (name, description, apply);

    /// <summary>Full softmax attention, no decay.</summary>
    public static Mixer Full { get; } =
        new("full", "full softmax attention", config => config with { Gate = false, Window = null, NativeSparse = null });

    /// <summary>A sliding window, no decay.</summary>
    public static Mixer SlidingWindow { get; } =
        new("window", "a sliding window", config => config with { Gate = false, Window = WindowOf(config), NativeSparse = null });

    /// <summary>Full attention whose scores carry the learned decay (forgetting attention).</summary>
    public static Mixer GatedFull { get; } = new(
        "gated-full",
        "full attention with the learned decay",
        config => config with { Gate = true, Window = null, NativeSparse = null });

    /// <summary>A sliding window whose scores carry the learned decay.</summary>
    public static Mixer GatedFwa { get; } = new(
        "gatedfwa",
        "a sliding window with the learned decay",
        config => config with { Gate = true, Window = WindowOf(config), NativeSparse = null });

    /// <summary>A sliding window whose scores carry the learned decay, as one branch of native sparse attention; the blocks are the
    /// model's own where it has any.</summary>
    public static Mixer GatedFwaNsa { get; } = new(
        "gatedfwa-nsa",
        "a sliding window with the learned decay, native sparse attention beside it",
        config => config with { Gate = true, Window = WindowOf(config), NativeSparse = config.NativeSparse ?? new() });

    /// <summary>Every mixer, baselines first.</summary>
    public static IReadOnlyList<Mixer> All { get; } = [Full, SlidingWindow, GatedFull, GatedFwa, GatedFwaNsa];

    /// <summary>Its name: <c>full</c>, <c>window</c>, <c>gated-full</c>, <c>gatedfwa</c> or <c>gatedfwa-nsa</c>.</summary>
    public string Name { get; }

    /// <summary>What it is, in a few words.</summary>
    public string Description { get; }

    /// <summary>The mixer of that name.</summary>
    /// <param name="name">One of the names of <see cref="All"/>.</param>
    /// <exception cref="InputException">There is none.</exception>
    public static Mixer Parse(string name) =>
        All.FirstOrDefault(mixer => mixer.Name == name) ??
        throw new InputException($"There is no mixer \"{name}\"; use {string.Join(", ", All.Select(mixer => mixer.Name))}.");

    /// <summary>The same model with this mixer in every layer; everything else stays.</summary>
    /// <param name="config">The model. Where it has no window and the mixer needs one, set it first.</param>
    /// <exception cref="InputException">The mixer needs a window and the model has none.</exception>
    public ModelConfig In(ModelConfig config) => _apply(config);

    /// <inheritdoc/>
    public override string ToString() => Name;

    private static int WindowOf(ModelConfig config) =>
        config.Window ?? throw new InputException("This mixer needs a window, and the model's configuration has none; set one.");
}
