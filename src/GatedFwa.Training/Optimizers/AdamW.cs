using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Training.Optimizers;

/// <summary>
/// Adam with decoupled weight decay (Loshchilov and Hutter 2019). Holds two tensors per parameter; a step reads value, gradient
/// and both once.
/// </summary>
public sealed class AdamW : IDisposable
{
    private readonly AdamWOptions _options;
    private readonly ParameterTable? _table; // On a GPU.

    /// <summary>Starts with moments of zero.</summary>
    /// <param name="parameters">What to update; belongs to the caller.</param>
    /// <param name="options">The settings.</param>
    public AdamW(IReadOnlyList<Parameter> parameters, AdamWOptions? options = null)
    {
        _options = options ?? new AdamWOptions();
        Parameters = parameters;
        Means = [.. parameters.Select(parameter => Tensor.Zeros(parameter.Value.Shape, DType.F32, parameter.Value.Device))];
        Squares = [.. parameters.Select(parameter => Tensor.Zeros(parameter.Value.Shape, DType.F32, parameter.Value.Device))];
        if (parameters.Count > 0 && !parameters[0].Value.Device.IsCpu) _table = new ParameterTable(parameters, Means, Squares);
    }

    /// <summary>What is updated.</summary>
    public IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>m: the running mean of each parameter's gradient, F32.</summary>
    public IReadOnlyList<Tensor> Means { get; }

    /// <summary>v: the running mean of each parameter's squared gradient, F32.</summary>
    public IReadOnlyList<Tensor> Squares { get; }

    /// <summary>Steps taken so far.</summary>
    public long Steps { get; internal set; }

    /// <summary>Where everything lies on the GPU; none on the CPU.</summary>
    internal ParameterTable? Table => _table;

    /// <summary>Sets every gradient to zero.</summary>
    public void ClearGradients()
    {
        if (_table is null)
        {
            foreach (Parameter parameter in Parameters) parameter.ClearGradient();
            return;
        }

        // Whoever adds to a gradient first stores it instead: no pass over memory to write zeros, and none to read them.
        foreach (IGrouping<Tensor, Parameter> matrix in Parameters.GroupBy(parameter => parameter.Value.Part?.Whole ?? parameter.Value))
        {
            if (matrix.Sum(parameter => parameter.Value.Count) == matrix.Key.Count)
            {
                matrix.Key.ForgetGradient();
                continue;
            }

            foreach (Parameter parameter in matrix) parameter.ClearGradient();
        }
    }

    /// <summary>Updates every parameter from its gradient, which stays as it is.</summary>
    /// <param name="learningRate">The step size.</param>
    /// <param name="gradientScale">Multiplies every gradient first: what clipping asks for.</param>
    public void Step(float learningRate, float gradientScale = 1)
    {
        if (_table is not null)
        {
            StepOnGpu(_table, learningRate, gradientScale, verdict: null);
            return;
        }

        Steps++;
        for (int i = 0; i < Parameters.Count; i++)
        {
            AdamWStep step = AdamWStep.At(Steps, _options, learningRate, gradientScale, Parameters[i].Decays);
            AdamWCpu.Apply(step, Parameters[i].Value, Parameters[i].Gradient, Means[i], Squares[i]);
            Parameters[i].Value.MarkWritten();
        }
    }

    /// <summary>The same on a GPU, if and with the scale that was decided there. A step that is not taken counts as one, too: the
    /// host learns of it only later.</summary>
    /// <param name="learningRate">The step size.</param>
    /// <param name="verdict">A <see cref="StepVerdict"/>.</param>
    internal void Step(float learningRate, CudaStorage verdict) => StepOnGpu(_table!, learningRate, 1, verdict);

    /// <inheritdoc/>
    public void Dispose()
    {
        _table?.Dispose();
        foreach (Tensor tensor in Means.Concat(Squares)) tensor.Dispose();
    }

    private void StepOnGpu(ParameterTable table, float learningRate, float gradientScale, CudaStorage? verdict)
    {
        Steps++;
        AdamWCuda.Step(table, AdamWStep.At(Steps, _options, learningRate, gradientScale, decays: true), verdict);
        foreach (Parameter parameter in Parameters) parameter.Value.MarkWritten(convertedToo: parameter.Value.Converted is not null);
    }
}
