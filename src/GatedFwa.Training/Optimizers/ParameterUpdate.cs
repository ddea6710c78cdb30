using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Training.Optimizers;

/// <summary>
/// The end of a step, once the gradients are there: their norm, the clipping, AdamW – or nothing, where loss or norm is no finite
/// number.
/// </summary>
internal abstract class ParameterUpdate(AdamW optimizer, double clipNorm) : IDisposable
{
    /// <summary>How many steps may be begun before the first of them is read.</summary>
    public abstract int Lag { get; }

    protected AdamW Optimizer { get; } = optimizer;

    protected double ClipNorm { get; } = clipNorm;

    /// <summary>The one for the device that an optimizer's parameters lie on.</summary>
    /// <param name="optimizer">Belongs to the caller.</param>
    /// <param name="clipNorm">The largest norm of all gradients together; 0 means no limit.</param>
    /// <param name="batches">Batches whose gradients make a step.</param>
    /// <param name="lossScale">What the gradients are too large by.</param>
    public static ParameterUpdate For(AdamW optimizer, double clipNorm, int batches, float lossScale) =>
        optimizer.Table is { } table
            ? new OnGpu(optimizer, table, clipNorm, batches, lossScale)
            : new OnHost(optimizer, clipNorm, batches, lossScale);

    /// <summary>Takes the loss of a batch whose gradients have been added; its tape may close afterwards.</summary>
    public abstract void Gather(int batch, Tensor loss);

    /// <summary>Takes the step.</summary>
    /// <returns>What came of it: reading it may wait for a GPU. It must be read before <see cref="Lag"/> + 1 more are begun.</returns>
    public abstract Func<StepVerdict> Take(float learningRate);

    /// <inheritdoc/>
    public virtual void Dispose()
    {
    }

    private sealed class OnHost(AdamW optimizer, double clipNorm, int batches, float lossScale) : ParameterUpdate(optimizer, clipNorm)
    {
        private double _loss;

        public override int Lag => 0;

        public override void Gather(int batch, Tensor loss) => _loss = (batch == 0 ? 0 : _loss) + loss.Item();

        public override Func<StepVerdict> Take(float learningRate)
        {
            double loss = _loss / batches;
            double norm = double.IsFinite(loss) ? GradientNorm.Of(Optimizer.Parameters) / lossScale : double.NaN;
            float scale = GradientNorm.ClipScale(norm, ClipNorm) / lossScale;
            bool isTaken = double.IsFinite(norm);
            if (isTaken) Optimizer.Step(learningRate, scale);
            var verdict = new StepVerdict(loss, norm, scale, isTaken ? 1 : 0);
            return () => verdict;
        }
    }

    /// <summary>Nothing here waits for the GPU: it decides, and the host reads of it one step later.</summary>
    private sealed class OnGpu(AdamW optimizer, ParameterTable table, double clipNorm, int batches, float lossScale)
        : ParameterUpdate(optimizer, clipNorm)
    {
        private readonly Tensor _losses = Tensor.Empty([batches], DType.F32, optimizer.Parameters[0].Value.Device);
        private readonly CudaStorage _verdict = table.Device.Memory.Rent(AdamWCuda.VerdictBytes);
        private readonly CudaReadback[] _answers = [.. Enumerable.Range(0, 2).Select(_ => new CudaReadback(table.Device, AdamWCuda.VerdictBytes))];
        private int _steps;

        public override int Lag => _answers.Length - 1;

        public override void Gather(int batch, Tensor loss) => AdamWCuda.KeepLoss(loss, _losses, batch);

        public override Func<StepVerdict> Take(float learningRate)
        {
            AdamWCuda.Judge(table, _losses, (float)ClipNorm, 1 / lossScale, _verdict);
            Optimizer.Step(learningRate, _verdict);
            CudaReadback answer = _answers[_steps++ % _answers.Length];
            answer.Ask(_verdict);
            return answer.Read<StepVerdict>;
        }

        public override void Dispose()
        {
            foreach (CudaReadback answer in _answers) answer.Dispose();
            _verdict.Dispose();
            _losses.Dispose();
        }
    }
}
