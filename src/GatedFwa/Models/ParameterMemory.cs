using GatedFwa.Tensors;

namespace GatedFwa.Models;

/// <summary>
/// A model's parameters and the memory they lie in. On a GPU those of one <see cref="ParameterSpec.Stack"/> are rows of one matrix,
/// and so are their gradients and their copies for products.
/// </summary>
internal sealed class ParameterMemory : IDisposable
{
    private readonly Dictionary<string, Tensor> _stacks = [];

    public ParameterMemory(IReadOnlyCollection<ParameterSpec> plan, Device device)
    {
        if (!device.IsCpu)
        {
            foreach (IGrouping<string, ParameterSpec> stack in plan.Where(spec => spec.Stack is not null).GroupBy(spec => spec.Stack!))
                _stacks[stack.Key] = Tensor.Empty([stack.Sum(spec => spec.Shape[0]), stack.First().Shape[1]], DType.F32, device);
            foreach (Tensor matrix in _stacks.Values) matrix.BecomeParameter();
        }

        var used = new Dictionary<string, int>();
        Parameters = [.. plan.Select(spec => new Parameter(spec.Name, Take(spec), spec.Decays))];

        Tensor Take(ParameterSpec spec)
        {
            if (device.IsCpu || spec.Stack is null) return Tensor.Empty(spec.Shape, DType.F32, device);
            int first = used.GetValueOrDefault(spec.Stack);
            used[spec.Stack] = first + spec.Shape[0];
            return _stacks[spec.Stack].Rows(first, spec.Shape[0]);
        }
    }

    public IReadOnlyList<Parameter> Parameters { get; }

    public void Dispose()
    {
        foreach (Parameter parameter in Parameters) parameter.Dispose();
        foreach (Tensor matrix in _stacks.Values)
        {
            matrix.Gradient?.Dispose();
            matrix.Dispose();
        }
    }
}
