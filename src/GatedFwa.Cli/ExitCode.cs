namespace GatedFwa.Cli;

/// <summary>What the shell gets back.</summary>
internal static class ExitCode
{
    public const int Success = 0;

    /// <summary>A file, a setting or a text cannot be used; stderr says which and what to do.</summary>
    public const int BadInput = 1;

    /// <summary>The command line itself is wrong.</summary>
    public const int Usage = 2;

    /// <summary>A bug of ours (EX_SOFTWARE of sysexits.h).</summary>
    public const int Unexpected = 70;

    /// <summary>Ended by Ctrl-C: 128 + SIGINT, as shells count.</summary>
    public const int Interrupted = 130;

    /// <summary>Ended by a polite kill: 128 + SIGTERM.</summary>
    public const int Terminated = 143;
}
