using System.Globalization;
using GatedFwa.Checkpoints;
using GatedFwa.Tensors;

namespace GatedFwa.Attention;

/// <summary>The tensors and settings of an operator's file, each checked as it is read.</summary>
internal sealed class OperatorInputs(SafetensorsFile file)
{
    /// <summary>The metadata's <c>kind</c>.</summary>
    public string Kind() => file.Metadata.TryGetValue("kind", out string? kind)
        ? kind
        : throw new InputException($"{Name} has no metadata \"kind\"; add {OperatorFile.Kinds}.");

    private string Name => Phrase.Quote(file.Name);

    public bool Has(string tensor) => file.Contains(tensor);

    /// <summary>Refuses a tensor whose name is nearly that of an optional input: leaving it out would compute something else.</summary>
    public void RefuseMisspelt(string[] optional, string[] known)
    {
        foreach (SafetensorsEntry entry in file.Entries)
        {
            if (known.Contains(entry.Name) || optional.Contains(entry.Name)) continue;
            if (Phrase.Nearest(entry.Name, optional.Where(name => !Has(name))) is { } meant)
            {
                throw new InputException(
                    $"{Name} holds the unknown tensor {Phrase.Quote(entry.Name)} (did you mean \"{meant}\"?); rename or remove it.");
            }
        }
    }

    /// <summary>The shape of a tensor of so many axes, none of them empty.</summary>
    /// <param name="tensor">Its name.</param>
    /// <param name="axes">The letters of its axes.</param>
    public Shape Shape(string tensor, params string[] axes)
    {
        Shape shape = file[tensor].Shape;
        if (shape.Rank != axes.Length || shape.Contains(0))
        {
            throw new InputException(
                $"Tensor {Phrase.Quote(tensor)} of {Name} has the shape {shape} where [{string.Join(", ", axes)}] is expected, " +
                "each at least 1; correct it.");
        }

        return shape;
    }

    /// <summary>The shapes of an attention's q [B, T, H, D] and k [B, S, Hkv, D], which go with each other.</summary>
    public (Shape Queries, Shape Keys) QueriesAndKeys()
    {
        Shape queries = Shape("q", "B", "T", "H", "D"), keys = Shape("k", "B", "S", "Hkv", "D");
        (int batch, int tokens, int heads, int headSize) = (queries[0], queries[1], queries[2], queries[3]);
        Require(headSize % 8 == 0 && headSize <= 256, "q", "a head size that is a multiple of 8 up to 256");
        Require(
            keys[0] == batch && keys[1] >= tokens && keys[3] == headSize,
            "k",
            $"[{batch}, {tokens} or more, Hkv, {headSize}]");
        Require(heads % keys[2] == 0, "k", $"a number of key heads that divides the {heads} query heads");
        return (queries, keys);
    }

    /// <summary>Refuses a tensor whose shape does not go with another's.</summary>
    public void Require(bool fits, string tensor, string expected)
    {
        if (!fits)
        {
            throw new InputException(
                $"Tensor {Phrase.Quote(tensor)} of {Name} has the shape {file[tensor].Shape} where {expected} is expected; correct it.");
        }
    }

    /// <summary>Reads activations of a shape that the other inputs decide.</summary>
    /// <param name="tensor">Its name.</param>
    /// <param name="shape">The shape.</param>
    /// <param name="settings">Where it is to lie and in which type.</param>
    /// <returns>A tensor of that type for the caller to dispose.</returns>
    public Tensor Read(string tensor, Shape shape, OperatorSettings settings) =>
        Tensor.From(Values(tensor, shape, float.NegativeInfinity), shape, settings.Device, settings.Type);

    /// <summary>Reads what is F32 whatever the activations are: decays, their gradients, the gate's parameters.</summary>
    /// <param name="tensor">Its name.</param>
    /// <param name="shape">The shape.</param>
    /// <param name="settings">Where it is to lie.</param>
    /// <param name="least">The smallest number it may hold.</param>
    /// <returns>An F32 tensor for the caller to dispose.</returns>
    public Tensor ReadFloats(string tensor, Shape shape, OperatorSettings settings, float least = float.NegativeInfinity) =>
        Tensor.From(Values(tensor, shape, least), shape, settings.Device);

    /// <summary>The documents that <c>cu_seqlens</c> packs into a batch of 1, or one document a row.</summary>
    public SequenceLayout Layout(int batch, int positions)
    {
        const string Tensor = "cu_seqlens";
        if (!Has(Tensor)) return SequenceLayout.Dense;
        Shape(Tensor, "n + 1");
        int[] offsets = file.ReadIntegers(Tensor);
        if (batch != 1) throw new InputException($"{Name} packs documents with {Tensor} and has a batch of {batch}; use a batch of 1.");
        bool ordered = offsets.Length >= 2 && offsets[0] == 0 && offsets[^1] == positions && offsets.Zip(offsets.Skip(1)).All(pair => pair.First <= pair.Second);
        if (!ordered)
        {
            throw new InputException(
                $"Tensor {Phrase.Quote(Tensor)} of {Name} does not rise from 0 to the number of positions, {positions}; correct it.");
        }

        return SequenceLayout.Packed(offsets);
    }

    /// <summary>A whole number of at least 1 from the settings or the metadata.</summary>
    public int? Count(string key, int? setting)
    {
        if (setting is null && !file.Metadata.ContainsKey(key)) return null;
        bool isNumber = int.TryParse(setting?.ToString(CultureInfo.InvariantCulture) ?? file.Metadata[key], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value);
        return isNumber && value >= 1
            ? value
            : throw Impossible(key, setting?.ToString(CultureInfo.InvariantCulture), "a whole number of at least 1");
    }

    /// <summary>A finite number from the settings or the metadata.</summary>
    public float? Number(string key, float? setting)
    {
        if (setting is null && !file.Metadata.ContainsKey(key)) return null;
        float value = setting ?? (float.TryParse(file.Metadata[key], NumberStyles.Float, CultureInfo.InvariantCulture, out float parsed) ? parsed : float.NaN);
        return float.IsFinite(value) ? value : throw Impossible(key, setting?.ToString(CultureInfo.InvariantCulture), "a finite number");
    }

    private float[] Values(string tensor, Shape shape, float least)
    {
        SafetensorsEntry entry = file[tensor];
        if (entry.Shape != shape)
        {
            throw new InputException(
                $"Tensor {Phrase.Quote(tensor)} of {Name} has the shape {entry.Shape} where the other tensors ask for {shape}; " +
                "correct it.");
        }

        float[] values = file.ReadFloats(tensor);
        int index = Array.FindIndex(values, value => !float.IsFinite(value) || value < least);
        if (index >= 0)
        {
            string expected = float.IsFinite(values[index]) ? $"numbers of at least {least}" : "finite numbers";
            throw new InputException(FormattableString.Invariant($"Tensor {Phrase.Quote(tensor)} of {Name} holds {values[index]} at index {index}; give {expected}."));
        }

        return values;
    }

    private InputException Impossible(string key, string? setting, string expected) => setting is null
        ? new($"The metadata {Phrase.Quote(key)} of {Name} is {Phrase.Quote(file.Metadata[key])} where {expected} is expected; correct it.")
        : new($"The {key} is {setting} where {expected} is expected; give another.");
}
