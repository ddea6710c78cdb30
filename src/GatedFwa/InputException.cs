namespace GatedFwa;

/// <summary>
/// Something a user gave cannot be used: a file, a setting, a text. The message is one sentence that names it and the remedy.
/// </summary>
public sealed class InputException : Exception
{
    /// <summary>Makes the exception.</summary>
    /// <param name="message">One sentence: what is wrong with what, and what to do.</param>
    /// <param name="cause">What revealed it, if anything.</param>
    public InputException(string message, Exception? cause = null)
        : base(message, cause)
    {
    }
}
