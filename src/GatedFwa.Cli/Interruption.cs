using System.Runtime.InteropServices;

namespace GatedFwa.Cli;

/// <summary>Ctrl-C and SIGTERM become a request to end at the next good moment; asked a second time, the process ends at once.</summary>
internal sealed class Interruption : IDisposable
{
    private readonly CancellationTokenSource _source = new();
    private readonly PosixSignalRegistration[] _registrations;

    public Interruption() => _registrations =
    [
        PosixSignalRegistration.Create(PosixSignal.SIGINT, context => Ask(context, Cli.ExitCode.Interrupted)),
        PosixSignalRegistration.Create(PosixSignal.SIGTERM, context => Ask(context, Cli.ExitCode.Terminated)),
    ];

    /// <summary>Cancelled once an end was asked for.</summary>
    public CancellationToken Token => _source.Token;

    /// <summary>What the shell is told after the first signal; 0 while none came.</summary>
    public int ExitCode { get; private set; }

    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in _registrations) registration.Dispose();
        _source.Dispose();
    }

    private void Ask(PosixSignalContext context, int exitCode)
    {
        // The second time the default action stands: the process ends.
        if (_source.IsCancellationRequested) return;
        context.Cancel = true;
        ExitCode = exitCode;
        Console.Error.WriteLine();
        Console.Error.WriteLine("Stopping after this step and saving it; asked once more, it stops at once.");
        _source.Cancel();
    }
}
