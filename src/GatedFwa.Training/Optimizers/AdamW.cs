using GatedFwa.Tensors;

namespace GatedFwa.Training.Optimizers;

/// <summary>
/// Adam with decoupled weight decay (Loshchilov and Hutter 2019). Holds two tensors per parameter; a step reads value, gradient
/// and both once.
/// </summary>
public sealed class AdamW : IDisposable
{
    private readonly AdamWOptions _options;

    /// <summary>Starts with moments of zero.</summary>
    /// <param name="parameters">What to update; belongs to the caller.</param>
    /// <param name="options">The settings.</param>
    public AdamW(IReadOnlyList<Parameter> parameters, AdamWOptions? options = null)
    {
        _options = options ?? new AdamWOptions();
        Parameters = parameters;
        Means = [.. parameters.Select(parameter => Tensor.Zeros(parameter.Value.Shape, DType.F32, parameter.Value.Device))];
        Squares = [.. parameters.Select(parameter => Tensor.Zeros(parameter.Value.Shape, DType.F32, parameter.Value.Device))];
    }

    /// <summary>What is updated.</summary>
    public IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>m: the running mean of each parameter's gradient, F32.</summary>
    public IReadOnlyList<Tensor> Means { get; }

    /// <summary>v: the running mean of each parameter's squared gradient, F32.</summary>
    public IReadOnlyList<Tensor> Squares { get; }

    /// <summary>Steps taken so far.</summary>
    public long Steps { get; internal set; }

    /// <summary>Updates every parameter from its gradient, which stays as it is.</summary>
    /// <param name="learningRate">The step size.</param>
    /// <param name="gradientScale">Multiplies every gradient first: what clipping asks for.</param>
    public void Step(float learningRate, float gradientScale = 1)
    {
        Steps++;
        for (int i = 0; i < Parameters.Count; i++)
        {
            AdamWStep step = AdamWStep.At(Steps, _options, learningRate, gradientScale, Parameters[i].Decays);
            AdamWCpu.Apply(step, Parameters[i].Value, Parameters[i].Gradient, Means[i], Squares[i]);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (Tensor tensor in Means.Concat(Squares)) tensor.Dispose();
    }
}
