using GatedFwa.Checkpoints;
using GatedFwa.Testing;
using GatedFwa.Training.Runs;
using GatedFwa.Training.Tasks;

namespace GatedFwa.Training.Tests.Runs;

public sealed class MetricsLogTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Lines_survive_and_what_came_after_the_checkpoint_does_not()
    {
        long kept;
        using (var log = new MetricsLog(_folder["metrics.jsonl"], 0))
        {
            log.Append(Line(1, 1.5));
            log.Append(Line(2, null));
            kept = log.Bytes;
            log.Append(Line(3, 0.5));
        }

        File.AppendAllText(_folder["metrics.jsonl"], "{\"st");
        using (var log = new MetricsLog(_folder["metrics.jsonl"], kept))
        {
            Assert.Equal([Line(1, 1.5), Line(2, null)], log.Lines);
            log.Append(Line(3, 0.25));
        }

        Assert.Equal(3, File.ReadAllLines(_folder["metrics.jsonl"]).Length);
        Assert.Contains("\"validation_bits_per_byte\":0.25", File.ReadAllLines(_folder["metrics.jsonl"])[2], StringComparison.Ordinal);
    }

    [Fact]
    public void A_line_is_readable_as_soon_as_it_is_written()
    {
        using var log = new MetricsLog(_folder["metrics.jsonl"], 0);
        log.Append(Line(1, null));
        using var reader = new StreamReader(new FileStream(_folder["metrics.jsonl"], FileMode.Open, FileAccess.Read, FileShare.ReadWrite));
        Assert.StartsWith("{\"step\":1,\"loss\":0.5,", reader.ReadLine(), StringComparison.Ordinal);
    }

    /// <summary>float16 overflows: such a step has no norm, and a run that holds one must go on all the same.</summary>
    [Fact]
    public void A_line_without_a_gradient_norm_is_read_again()
    {
        MetricsLine overflowed = Line(1, null) with { GradientNorm = null };
        using (var log = new MetricsLog(_folder["metrics.jsonl"], 0)) log.Append(overflowed);

        using var again = new MetricsLog(_folder["metrics.jsonl"], new FileInfo(_folder["metrics.jsonl"]).Length);
        Assert.Equal([overflowed], again.Lines);
    }

    [Fact]
    public void Generated_code_writes_the_state_of_a_run_as_reflection_does()
    {
        TrainerOptions options = TinyRun.Options("runs/ü \"quoted\"") with { Data = ["a/b", "<c>"], LearningRate = 1e-9 };
        RunState state = new()
        {
            Step = 3,
            ElapsedSeconds = 0.1,
            MetricsBytes = 1L << 40,
            BaselineBitsPerByte = null,
            DataFingerprint = "f",
            Model = TinyRun.Model,
            Options = options,
        };
        RunState ofTask = state.Measured(new ValidationResult(1.5, null, 0.25)) with
        {
            BaselineBitsPerByte = 2.5,
            Options = options with { Task = RecallTask.Zoology(length: 64) },
        };
        foreach (RunState written in (RunState[])[state, ofTask])
            Assert.Equal(StrictJson.Write(written), StrictJson.Write(written, RunJson.Default.RunState));
    }

    private static MetricsLine Line(int step, double? validation) => new()
    {
        Step = step,
        Loss = 0.5,
        LearningRate = 0.001,
        GradientNorm = 1,
        TokensPerSecond = 1000,
        ValidationBitsPerByte = validation,
    };
}
