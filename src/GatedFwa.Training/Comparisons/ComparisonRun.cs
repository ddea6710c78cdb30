using GatedFwa.Models;

namespace GatedFwa.Training.Comparisons;

/// <summary>One training of a comparison: an ordinary run.</summary>
/// <param name="Mixer">The mixer.</param>
/// <param name="Seed">The seed.</param>
/// <param name="Output">The run's folder: MIXER/seed-SEED in that of the comparison.</param>
public sealed record ComparisonRun(Mixer Mixer, ulong Seed, string Output)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Mixer}, seed {Seed}";
}
