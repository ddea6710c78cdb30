using System.Text;

namespace GatedFwa.Cli;

/// <summary>The text that generation continues.</summary>
internal static class Prompt
{
    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>What was given on the command line, or what comes through a pipe, or nothing.</summary>
    /// <exception cref="InputException">What comes through the pipe is not UTF-8.</exception>
    public static string Read(string? given)
    {
        if (given is not null) return given;
        if (!Console.IsInputRedirected) return "";
        using Stream input = Console.OpenStandardInput();
        using var bytes = new MemoryStream();
        input.CopyTo(bytes);
        try
        {
            return Strict.GetString(bytes.GetBuffer(), 0, (int)bytes.Length);
        }
        catch (DecoderFallbackException exception)
        {
            throw new InputException(
                "The prompt on standard input is not UTF-8 text; convert it first, for instance with 'iconv -f LATIN1 -t UTF-8'.",
                exception);
        }
    }
}
