namespace GatedFwa.Generation;

/// <summary>
/// How the next token is drawn from its scores. Applied in this order: repetition penalty, temperature, top-k, top-p, min-p.
/// </summary>
public sealed record SamplingOptions
{
    /// <summary>
    /// Divides the scores: 1 draws from the model's own distribution, less is bolder about the likely, 0 always takes the
    /// likeliest.
    /// </summary>
    public float Temperature { get; init; } = 1;

    /// <summary>Keep this many likeliest tokens; null keeps all.</summary>
    public int? TopK { get; init; }

    /// <summary>Keep the fewest likeliest tokens whose probabilities add up to this; 1 keeps all (Holtzman et al. 2020).</summary>
    public float TopP { get; init; } = 1;

    /// <summary>Keep tokens at least this many times as likely as the likeliest; 0 keeps all.</summary>
    public float MinP { get; init; }

    /// <summary>
    /// Makes recent tokens less likely: divides their positive scores and multiplies their negative ones; 1 changes nothing (Keskar
    /// et al. 2019).
    /// </summary>
    public float RepetitionPenalty { get; init; } = 1;

    /// <summary>How many of the last tokens are recent.</summary>
    public int RepetitionWindow { get; init; } = 64;

    /// <summary>The same seed draws the same text.</summary>
    public ulong Seed { get; init; }

    /// <summary>Checks the ranges.</summary>
    /// <returns>These options.</returns>
    /// <exception cref="InputException">One is out of range; the message names it.</exception>
    public SamplingOptions Validate()
    {
        Require(
            float.IsFinite(Temperature) && Temperature >= 0,
            "temperature",
            Temperature,
            "at least 0 (0 always takes the likeliest token)");
        Require(TopK is null or >= 1, "top-k", TopK, "at least 1");
        Require(TopP is > 0 and <= 1, "top-p", TopP, "above 0 and at most 1");
        Require(MinP is >= 0 and <= 1, "min-p", MinP, "from 0 to 1");
        Require(
            float.IsFinite(RepetitionPenalty) && RepetitionPenalty > 0,
            "repetition penalty",
            RepetitionPenalty,
            "above 0 (1 for none)");
        Require(RepetitionWindow >= 0, "repetition window", RepetitionWindow, "at least 0");
        return this;
    }

    private static void Require(bool holds, string name, object? value, string expected)
    {
        if (!holds) throw new InputException(FormattableString.Invariant($"The {name} is {value}; it must be {expected}."));
    }
}
