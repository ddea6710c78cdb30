namespace GatedFwa.Training.Optimizers;

/// <summary>Settings of <see cref="AdamW"/>.</summary>
public sealed record AdamWOptions
{
    /// <summary>β₁: how much of the mean gradient a step keeps.</summary>
    public float MeanDecay { get; init; } = 0.9f;

    /// <summary>β₂: how much of the mean squared gradient a step keeps.</summary>
    public float SquareDecay { get; init; } = 0.95f;

    /// <summary>λ: how much of a weight, times the learning rate, a step takes away, where the parameter decays.</summary>
    public float WeightDecay { get; init; } = 0.1f;

    /// <summary>ε: keeps the division finite.</summary>
    public float Epsilon { get; init; } = 1e-8f;
}
