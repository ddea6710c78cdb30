namespace GatedFwa.Training;

/// <summary>How good a model is on what it does not learn from.</summary>
/// <param name="Loss">Mean nats: a byte of text, or an answer of a task.</param>
/// <param name="BitsPerByte">The same in bits, of text.</param>
/// <param name="Accuracy">The share of answers that are right, of a task.</param>
public readonly record struct ValidationResult(double Loss, double? BitsPerByte = null, double? Accuracy = null);
