using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Tensors.Memory;
using GatedFwa.Training.Data;
using GatedFwa.Training.Evaluation;
using GatedFwa.Training.Runs;

namespace GatedFwa.Training.Comparisons;

/// <summary>Measures a run that is finished.</summary>
internal static class RunMeter
{
    private const int PositionGroups = 16;

    /// <summary>What its model and its metrics have to show; <see cref="RunMeasurement.StepBytes"/> is not among it.</summary>
    public static RunMeasurement Measure(Trainer trainer, TrainerOptions options, DocumentSplit data)
    {
        PositionLoss losses = PositionLoss.Measure(trainer.Model, data.Validation, options.Context, options.BatchSize);
        EvaluationResult lastQuarter = losses.Between(options.Context * 3 / 4, options.Context);
        double tokensPerSecond = Statistics.Median(trainer.Metrics.Select(line => line.TokensPerSecond));
        return new RunMeasurement
        {
            Parameters = trainer.Model.ParameterCount,
            Loss = losses.Total.Loss,
            LastQuarterLoss = lastQuarter.Bytes > 0 ? lastQuarter.Loss : null,
            Positions = losses.Buckets(PositionGroups),
            TokensPerSecond = tokensPerSecond,
            Seconds = options.Steps * options.TokensPerStep / tokensPerSecond,
            Curve = [.. Curve(trainer.Metrics, options.TokensPerStep, tokensPerSecond)],
            StepBytes = 0,
            DecodeState = DecodeStateSize.Measure(trainer.Model),
        };
    }

    /// <summary>
    /// The most bytes that a training step holds, by taking two of a model of its own: so it does not hang on where a run was
    /// interrupted.
    /// </summary>
    public static long StepBytes(ModelConfig model, TrainerOptions options, ITrainingData data, Device device, DType? activations)
    {
        long before = DeviceMemory.Statistics(device).LiveBytes;
        DeviceMemory.ResetPeak(device);
        using var step = new TrainingStep(model, options, data, (device, activations), isInitialised: true);
        int threads = WorkerPool.Shared.Threads;
        // Each thread that happens to be at a kernel holds scratch: of several the peak would be another each time.
        WorkerPool.Shared.Threads = 1;
        try
        {
            for (int i = 0; i < 2; i++) step.Begin(i).Read();
        }
        finally
        {
            WorkerPool.Shared.Threads = threads;
        }

        return DeviceMemory.Statistics(device).PeakBytes - before;
    }

    private static IEnumerable<CurvePoint> Curve(IEnumerable<MetricsLine> lines, long tokensPerStep, double tokensPerSecond) =>
        from line in lines
        where line.ValidationBitsPerByte is not null
        let tokens = line.Step * tokensPerStep
        select new CurvePoint(tokens, tokens / tokensPerSecond, line.ValidationBitsPerByte!.Value * Math.Log(2));
}
