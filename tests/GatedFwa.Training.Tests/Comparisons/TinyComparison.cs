using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Testing;
using GatedFwa.Training.Comparisons;
using GatedFwa.Training.Tests.Runs;

namespace GatedFwa.Training.Tests.Comparisons;

/// <summary>A comparison of a second, and somebody who watches it.</summary>
internal static class TinyComparison
{
    public static ComparisonOptions Options(string output, params Mixer[] mixers) => new()
    {
        Mixers = mixers,
        Model = TinyRun.Model,
        Training = TinyRun.Options(output),
    };

    public static ComparisonResult Run(ComparisonOptions options, TestBackend? backend = null, IComparisonView? view = null)
    {
        (Device device, DType type) = backend ?? TestBackend.Cpu;
        return Comparison.Start(options, TinyRun.Data, device, type).Run(view);
    }

    public static ComparisonResult Resume(ComparisonOptions options, IComparisonView? view = null) =>
        Comparison.Resume(options, TinyRun.Data).Run(view);

    /// <summary>Notes what is trained, and interrupts it as Ctrl-C does.</summary>
    public sealed class View : IComparisonView, IDisposable
    {
        private readonly CancellationTokenSource _source = new();

        /// <summary>The run and the step to interrupt at.</summary>
        public (Mixer Mixer, int Step)? StopAt { get; init; }

        public CancellationToken Token => _source.Token;

        public List<ComparisonRun> Trained { get; } = [];

        public List<ComparisonOutcome> Outcomes { get; } = [];

        public TrainingResult Watch(ComparisonRun run, Func<Action<TrainingProgress>?, TrainingResult> train)
        {
            Trained.Add(run);
            return train(progress =>
            {
                if (StopAt == (run.Mixer, progress.Step)) _source.Cancel();
            });
        }

        public void Ended(ComparisonOutcome outcome) => Outcomes.Add(outcome);

        public void Dispose() => _source.Dispose();
    }
}
