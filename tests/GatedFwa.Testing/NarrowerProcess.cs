using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using GatedFwa.Tensors.Cpu;

namespace GatedFwa.Testing;

/// <summary>Runs tests of this executable again in a process with narrower vectors: every kernel is a different program there.</summary>
public static partial class NarrowerProcess
{
    private const string ReportVariable = "GATEDFWA_TESTS_WIDTH_REPORT";
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(5);

    /// <summary>Whether this is such a process: it is about the CPU alone.</summary>
    public static bool IsThis => Environment.GetEnvironmentVariable(ReportVariable) is not null;

    /// <summary>
    /// Runs the tests of some namespaces with an instruction set switched off. The calling test must be among them: in the
    /// other process this method reports the width it finds there and returns, which also ends the recursion.
    /// </summary>
    /// <param name="setting">The runtime's switch, such as <c>DOTNET_EnableAVX512</c>.</param>
    /// <param name="width">The floats of a vector that remain.</param>
    /// <param name="namespaces">The namespaces of the tests.</param>
    /// <exception cref="InvalidOperationException">A test failed, none ran, or the vectors were not narrower.</exception>
    public static void Run(string setting, int width, params string[] namespaces)
    {
        if (Environment.GetEnvironmentVariable(ReportVariable) is { } path)
        {
            File.WriteAllText(path, Simd.Width.ToString(CultureInfo.InvariantCulture));
            return;
        }

        string report = Path.Combine(Path.GetTempPath(), $"gatedfwa-width-{Guid.NewGuid():n}.txt");
        try
        {
            string output = Launch(setting, report, namespaces);
            string found = File.Exists(report) ? File.ReadAllText(report) : "none";
            if (found != Math.Min(width, Simd.Width).ToString(CultureInfo.InvariantCulture))
                throw new InvalidOperationException($"With {setting}=0 the width was {found}, not {width}.");
            if (Count(output, "failed") != 0 || Count(output, "succeeded") < 2)
                throw new InvalidOperationException($"With {setting}=0:\n{output}");
        }
        finally
        {
            File.Delete(report);
        }
    }

    private static string Launch(string setting, string report, string[] namespaces)
    {
        string executable = Environment.ProcessPath!;
        var start = new ProcessStartInfo(executable) { RedirectStandardOutput = true, RedirectStandardError = true };
        if (Path.GetFileNameWithoutExtension(executable) == "dotnet") start.ArgumentList.Add(Environment.GetCommandLineArgs()[0]);
        start.ArgumentList.Add("--no-ansi");
        start.ArgumentList.Add("--no-progress");
        start.ArgumentList.Add("--filter-namespace");
        foreach (string name in namespaces) start.ArgumentList.Add(name);
        start.Environment[setting] = "0";
        start.Environment[ReportVariable] = report;
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync(), errors = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(Limit))
        {
            process.Kill(entireProcessTree: true);
            throw new InvalidOperationException($"With {setting}=0 the tests took longer than {Limit.TotalMinutes} minutes.");
        }

        if (process.ExitCode != 0)
        {
            throw new InvalidOperationException(
                $"With {setting}=0 the tests ended with code {process.ExitCode}:\n{output.Result}\n{errors.Result}");
        }

        return output.Result;
    }

    /// <summary>A number of the run's summary, such as <c>succeeded: 77</c>; −1 where it has none.</summary>
    private static int Count(string output, string what)
    {
        Match match = SummaryLine().Matches(output).LastOrDefault(match => match.Groups[1].Value == what) ?? Match.Empty;
        return match.Success ? int.Parse(match.Groups[2].ValueSpan, CultureInfo.InvariantCulture) : -1;
    }

    [GeneratedRegex(@"^\s*(\w+): (\d+)\s*$", RegexOptions.Multiline)]
    private static partial Regex SummaryLine();
}
