namespace GatedFwa.Training.Evaluation;

/// <summary>How well a model predicts the bytes at some positions of its context.</summary>
/// <param name="First">The first position, counted from 0: tokens of the context that come before its own.</param>
/// <param name="End">The position after the last.</param>
/// <param name="Loss">Mean nats a byte.</param>
public readonly record struct PositionBucket(int First, int End, double Loss);
