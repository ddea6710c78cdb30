namespace GatedFwa.Training.Evaluation.Tasks.Needles;

/// <summary>A text in which something is hidden, ending with the question for it.</summary>
/// <param name="Text">The prompt.</param>
/// <param name="Answers">What the answer must hold.</param>
internal sealed record NeedlePrompt(string Text, IReadOnlyList<string> Answers);
