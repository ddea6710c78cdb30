using System.Runtime.InteropServices;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Training.Optimizers;

/// <summary>
/// Where everything about a model's parameters lies in GPU memory, in GPU memory: one launch serves all of them. Made anew only
/// when an address has changed.
/// </summary>
internal sealed class ParameterTable : IDisposable
{
    /// <summary>Elements that a block of threads works on.</summary>
    public const int BlockElements = 4096;

    private readonly IReadOnlyList<Parameter> _parameters;
    private readonly IReadOnlyList<Tensor>? _means, _squares;
    private Entry[] _entries = [];
    private CudaStorage? _table;

    /// <summary>Makes a table.</summary>
    /// <param name="parameters">At least one, all on one GPU; they belong to the caller.</param>
    /// <param name="means">Their first moments, for an optimizer.</param>
    /// <param name="squares">Their second moments, for an optimizer.</param>
    public ParameterTable(IReadOnlyList<Parameter> parameters, IReadOnlyList<Tensor>? means = null, IReadOnlyList<Tensor>? squares = null)
    {
        (_parameters, _means, _squares) = (parameters, means, squares);
        Device = parameters[0].Value.Cuda;
        Blocks = checked((int)parameters.Sum(parameter => BlocksOf(parameter.Value.Count)));
    }

    /// <summary>The GPU.</summary>
    public CudaDevice Device { get; }

    /// <summary>Blocks of threads that cover all parameters.</summary>
    public int Blocks { get; }

    /// <summary>The number of parameters.</summary>
    public int Count => _parameters.Count;

    /// <summary>The type of the parameters' copies; F32 where they have none.</summary>
    public DType CopyType { get; private set; }

    /// <summary>The table as it is now, for a launch.</summary>
    public CudaStorage Current()
    {
        CopyType = DType.F32;
        var entries = new Entry[_parameters.Count];
        int firstBlock = 0;
        for (int i = 0; i < entries.Length; i++)
        {
            Tensor value = _parameters[i].Value;
            // Where a step is not taken, the copy stays what it is: so it must be fresh before, too.
            Tensor? copy = value.Converted is { } converted ? value.As(converted.Type) : null;
            if (copy is not null) CopyType = copy.Type;
            entries[i] = new Entry(
                value.Address,
                _parameters[i].Gradient.Address,
                _means?[i].Address ?? 0,
                _squares?[i].Address ?? 0,
                copy?.Address ?? 0,
                value.Count,
                firstBlock,
                _parameters[i].Decays ? 1 : 0);
            firstBlock += (int)BlocksOf(value.Count);
        }

        if (_table is not null && entries.AsSpan().SequenceEqual(_entries)) return _table;
        ReadOnlySpan<byte> bytes = MemoryMarshal.AsBytes<Entry>(entries);
        _table?.Dispose();
        _table = Device.Memory.Rent(bytes.Length);
        _table.CopyFromHost(bytes, 0);
        _entries = entries;
        return _table;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _table?.Dispose();
        _table = null;
    }

    private static long BlocksOf(long count) => (count + BlockElements - 1) / BlockElements;

    /// <summary>As adam_w.cu reads it.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private readonly record struct Entry(
        nint Value, nint Gradient, nint Mean, nint Square, nint Copy, long Count, int FirstBlock, int Decays);
}
