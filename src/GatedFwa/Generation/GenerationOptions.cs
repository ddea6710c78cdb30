namespace GatedFwa.Generation;

/// <summary>What to generate and when to stop.</summary>
public sealed record GenerationOptions
{
    /// <summary>The most tokens to generate.</summary>
    public long MaxTokens { get; init; } = 256;

    /// <summary>Texts that end the generation; they are not part of it.</summary>
    public IReadOnlyList<string> StopStrings { get; init; } = [];

    /// <summary>Whether the end of a document (the boundary token) ends the generation; otherwise the next document begins.</summary>
    public bool StopAtBoundary { get; init; } = true;

    /// <summary>How tokens are drawn.</summary>
    public SamplingOptions Sampling { get; init; } = new();

    /// <summary>Checks the ranges.</summary>
    /// <returns>These options.</returns>
    /// <exception cref="InputException">One is out of range; the message names it.</exception>
    public GenerationOptions Validate()
    {
        if (MaxTokens < 0) throw new InputException($"The number of tokens to generate is {MaxTokens}; it must be at least 0.");
        if (StopStrings.Any(string.IsNullOrEmpty))
            throw new InputException("A stop string is empty; it would end every text before it begins.");
        Sampling.Validate();
        return this;
    }
}
