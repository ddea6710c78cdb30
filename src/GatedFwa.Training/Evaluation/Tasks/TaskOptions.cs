namespace GatedFwa.Training.Evaluation.Tasks;

/// <summary>What a task is made from.</summary>
public sealed record TaskOptions
{
    /// <summary>Files of JSON lines with the examples, for tasks of <see cref="TaskSource.JsonLines"/>.</summary>
    public IReadOnlyList<string> Files { get; init; } = [];

    /// <summary>Text files, folders and patterns that needles are hidden in, for tasks of <see cref="TaskSource.Haystack"/>.</summary>
    public IReadOnlyList<string> Haystack { get; init; } = [];

    /// <summary>Tokens of a needle task: the prompt, the token that begins it, and room for the answer.</summary>
    public int Length { get; init; } = 4096;

    /// <summary>How many prompts a needle task asks.</summary>
    public int Samples { get; init; } = 40;

    /// <summary>The same seed makes the same prompts.</summary>
    public ulong Seed { get; init; }
}

/// <summary>What a task needs beside the model.</summary>
public enum TaskSource
{
    /// <summary>Nothing: a seed makes its prompts.</summary>
    Seed,

    /// <summary>Files with one JSON object a line.</summary>
    JsonLines,

    /// <summary>A text to hide needles in.</summary>
    Haystack,
}
