namespace GatedFwa.Training.Data;

/// <summary>Rows to learn from. Each is a function of its number in the run alone, so that a resumed run goes on with the very same
/// rows.</summary>
public interface IBatchSource
{
    /// <summary>Targets of a row that count.</summary>
    int TargetsPerRow { get; }

    /// <summary>Writes rows and their targets.</summary>
    /// <param name="first">Which row of the run comes first, counted from its beginning.</param>
    /// <param name="tokens">Receives rows of one context each.</param>
    /// <param name="targets">Receives what is to be predicted after each of <paramref name="tokens"/>; −1 where nothing is.</param>
    void Fill(long first, Span<int> tokens, Span<int> targets);
}
