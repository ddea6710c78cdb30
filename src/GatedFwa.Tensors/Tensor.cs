using System.Runtime.InteropServices;
using GatedFwa.Tensors.Cuda;
using GatedFwa.Tensors.Memory;
using GatedFwa.Tensors.Operations;

namespace GatedFwa.Tensors;

/// <summary>
/// A row-major, contiguous array on a device. Whoever makes a tensor disposes it; results of operations belong to the
/// <see cref="Autograd.Tape"/> they were recorded on and go with it.
/// </summary>
public sealed unsafe class Tensor : IDisposable
{
    // A span counts its bytes in 32 bits, so an array of 2 GB and more is copied in pieces.
    private const long PieceElements = 1 << 28;

    private readonly object? _source; // The tensor it is a view of, or the part it is: one field, since a decoded token makes many tensors.
    private Storage? _storage;
    private bool _requiresGradient;
    private Tensor? _converted;
    private bool _isConvertedFresh, _isGradientForgotten;

    internal Tensor(Storage storage, Shape shape, DType type, Tensor? basis = null)
        : this(storage, shape, type, (object?)basis)
    {
    }

    private Tensor(Storage storage, Shape shape, DType type, object? source)
    {
        _source = source;
        _storage = storage;
        Shape = shape;
        Type = type;
    }

    /// <summary>The extents, outermost first.</summary>
    public Shape Shape { get; }

    /// <summary>The type of the elements.</summary>
    public DType Type { get; }

    /// <summary>The device that holds the elements.</summary>
    public Device Device => Held.Device;

    /// <summary>The number of elements.</summary>
    public long Count => Shape.Count;

    /// <summary>Whether a gradient flows to this tensor; a view shares the answer of what it is a view of.</summary>
    public bool RequiresGradient
    {
        get => Basis?.RequiresGradient ?? _requiresGradient;
        internal set
        {
            if (Basis is null) _requiresGradient = value;
            else Basis.RequiresGradient = value;
        }
    }

    /// <summary>The tensor this one is a view of, if it is one.</summary>
    internal Tensor? Basis => _source as Tensor ?? (Part is { IsColumns: true } columns ? columns.Whole.Basis ?? columns.Whole : null);

    /// <summary>The gradient, while a tape or a parameter holds one.</summary>
    internal Tensor? Gradient { get; set; }

    /// <summary>True for the value of a <see cref="Parameter"/>, whose gradient outlives every tape.</summary>
    internal bool IsParameter { get; private set; }

    /// <summary>Makes this the value of a <see cref="Parameter"/>, or a matrix of such.</summary>
    internal void BecomeParameter() => (IsParameter, RequiresGradient) = (true, true);

    /// <summary>Where all elements lie side by side.</summary>
    internal Storage Storage =>
        Part is { IsColumns: true } ? throw new NotSupportedException($"Columns {Shape} of a wider tensor do not lie side by side.") : Held;

    /// <summary>Host address of F32 elements; kernels only.</summary>
    internal float* Floats => (float*)Host(DType.F32).Pointer;

    /// <summary>Host address of I32 elements; kernels only.</summary>
    internal int* Integers => (int*)Host(DType.I32).Pointer;

    /// <summary>The GPU that holds the elements; launches only.</summary>
    internal CudaDevice Cuda => OnCuda(Held).Cuda;

    /// <summary>GPU address of the elements, which lie side by side; launches only.</summary>
    internal nint Address => OnCuda(Storage).Address;

    /// <summary>What this is a part of, if it is one.</summary>
    internal TensorPart? Part => _source as TensorPart;

    /// <summary>GPU address of the first element, for launches that heed <see cref="RowStride"/>.</summary>
    internal nint Origin => Part is { IsColumns: true } columns ? OnCuda(Held).Address + (columns.First * Type.Bytes()) : Address;

    /// <summary>A tensor whose elements are not set.</summary>
    /// <param name="shape">The extents.</param>
    /// <param name="type">The element type.</param>
    /// <param name="device">The device; the CPU unless given.</param>
    public static Tensor Empty(Shape shape, DType type = DType.F32, Device device = default) =>
        new(DeviceMemory.Rent(device, checked(shape.Count * type.Bytes())), shape, type);

    /// <summary>A tensor of zeros.</summary>
    /// <param name="shape">The extents.</param>
    /// <param name="type">The element type.</param>
    /// <param name="device">The device; the CPU unless given.</param>
    public static Tensor Zeros(Shape shape, DType type = DType.F32, Device device = default)
    {
        Tensor tensor = Empty(shape, type, device);
        tensor.Clear();
        return tensor;
    }

    /// <summary>A tensor with the given elements.</summary>
    /// <param name="values">The elements, row-major.</param>
    /// <param name="shape">The extents.</param>
    /// <param name="device">The device; the CPU unless given.</param>
    /// <param name="type">F32, or BF16 or F16, to which the values are rounded.</param>
    /// <exception cref="OperandException">The number of values is not that of the shape.</exception>
    public static Tensor From(ReadOnlySpan<float> values, Shape shape, Device device = default, DType type = DType.F32)
    {
        RequireCount(values.Length, shape);
        Tensor tensor = Empty(shape, type, device);
        tensor.CopyFrom(values);
        return tensor;
    }

    /// <summary>A tensor with the given I32 elements.</summary>
    /// <param name="values">The elements, row-major.</param>
    /// <param name="shape">The extents.</param>
    /// <param name="device">The device; the CPU unless given.</param>
    /// <exception cref="OperandException">The number of values is not that of the shape.</exception>
    public static Tensor From(ReadOnlySpan<int> values, Shape shape, Device device = default)
    {
        RequireCount(values.Length, shape);
        Tensor tensor = Empty(shape, DType.I32, device);
        tensor.CopyFrom(values);
        return tensor;
    }

    /// <summary>The same elements under another shape. The gradient of a view is a view of the gradient.</summary>
    /// <param name="shape">The new extents, with the same number of elements.</param>
    /// <exception cref="OperandException">The number of elements differs.</exception>
    public Tensor View(Shape shape)
    {
        if (shape.Count != Count) throw new OperandException(nameof(View), $"a shape of {Count} elements, as {Shape} has", $"{shape}");
        Held.Retain();
        return new Tensor(Held, shape, Type, Part is { IsColumns: true } columns ? columns : (object)(Basis ?? this));
    }

    /// <summary>Rows of a matrix on a GPU as a tensor of their own: parameters that are neighbours in memory.</summary>
    /// <param name="first">The first row.</param>
    /// <param name="count">How many.</param>
    internal Tensor Rows(int first, int count)
    {
        long rowBytes = (long)Shape[1] * Type.Bytes();
        CudaStorage rows = ((CudaStorage)Storage).Part(first * rowBytes, count * rowBytes);
        return new Tensor(rows, [count, Shape[1]], Type, new TensorPart(this, first, isColumns: false));
    }

    /// <summary>Columns of a tensor on a GPU, in place, for operations that heed <see cref="RowStride"/>; any other refuses them.</summary>
    /// <param name="first">The first column.</param>
    /// <param name="shape">[..., of this tensor, and then as many elements as there are columns].</param>
    internal Tensor Columns(int first, Shape shape)
    {
        Held.Retain();
        return ColumnAlias(first, shape);
    }

    /// <summary>The same for as long as this tensor lives: holds no reference of its own and is never disposed.</summary>
    internal Tensor ColumnAlias(int first, Shape shape) => new(Held, shape, Type, new TensorPart(this, first, isColumns: true));

    /// <summary>Elements from one row of <paramref name="width"/> to the next.</summary>
    internal int RowStride(int width) => Part is { IsColumns: true } columns ? columns.Whole.Shape[^1] : width;

    /// <summary>
    /// The same elements under another shape for as long as this tensor lives: holds no reference of its own and is never disposed.
    /// </summary>
    internal Tensor Alias(Shape shape) => shape == Shape ? this : new Tensor(Storage, shape, Type, Basis ?? this);

    /// <summary>
    /// Elements side by side, from one of them on, under a shape, for as long as this tensor lives: holds no reference of its own and is
    /// never disposed. No gradient knows of it.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">This tensor has not so many elements.</exception>
    internal Tensor Window(long first, Shape shape)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(first, Count - shape.Count);
        return new(Storage.Window(first * Type.Bytes(), shape.Count * Type.Bytes()), shape, Type);
    }

    /// <summary>A tensor of its own with the same elements.</summary>
    internal Tensor Copy()
    {
        Tensor copy = Empty(Shape, Type, Device);
        copy.CopyFrom(this);
        return copy;
    }

    /// <summary>The F32 elements in place; CPU only.</summary>
    /// <exception cref="NotSupportedException">The tensor lies on a device whose memory the host cannot address.</exception>
    public Span<float> AsSpan() => new(Floats, checked((int)Count));

    /// <summary>The I32 elements in place; CPU only.</summary>
    /// <exception cref="NotSupportedException">The tensor lies on a device whose memory the host cannot address.</exception>
    public Span<int> AsIntegerSpan() => new(Integers, checked((int)Count));

    /// <summary>Sets all elements from host values, rounded where the type is narrower.</summary>
    /// <param name="values">As many values as there are elements.</param>
    /// <exception cref="OperandException">The number of values differs, or the tensor holds integers.</exception>
    public void CopyFrom(ReadOnlySpan<float> values)
    {
        if (Type is DType.BF16 or DType.F16 && values.Length == Count) HalfPrecision.CopyFrom(values, Type, Storage);
        else CopyFromHost(values, DType.F32);
        MarkWritten();
    }

    /// <summary>Sets all elements from host values.</summary>
    /// <param name="values">As many values as there are elements.</param>
    /// <exception cref="OperandException">The number of values differs, or the tensor is not I32.</exception>
    public void CopyFrom(ReadOnlySpan<int> values) => CopyFromHost(values, DType.I32);

    /// <summary>Sets all elements from another tensor on the same device.</summary>
    /// <param name="source">A tensor of as many elements of the same type.</param>
    /// <exception cref="OperandException">The number or the type of the elements differs.</exception>
    public void CopyFrom(Tensor source)
    {
        if (source.Count != Count || source.Type != Type || source.Device != Device)
        {
            throw new OperandException(
                nameof(CopyFrom),
                $"{Count} values of {Type} on {Device}",
                $"{source.Count} of {source.Type} on {source.Device}");
        }

        Storage.CopyFrom(source.Storage);
        MarkWritten();
    }

    /// <summary>
    /// The elements in another type: what a product reads of a parameter. The copy is kept with this tensor and made anew only
    /// after the elements have changed.
    /// </summary>
    /// <param name="type">The type; this tensor itself where it is its own.</param>
    internal Tensor As(DType type)
    {
        if (type == Type) return this;
        if (Part is { } part) return PartOf(part.Whole.As(type));
        if (_converted?.Type != type)
        {
            _converted?.Dispose();
            _converted = Empty(Shape, type, Device);
            _isConvertedFresh = false;
        }

        if (!_isConvertedFresh) Cast.Copy(this, _converted);
        _isConvertedFresh = true;
        return _converted;
    }

    /// <summary>The copy in another type, if there is one, for whoever writes both at once (and calls <see cref="MarkWritten"/> with
    /// <c>true</c>).</summary>
    internal Tensor? Converted => Part is not { } part ? _converted : part.Whole.Converted is { } whole ? PartOf(whole) : null;

    /// <summary>Tells that the elements have changed.</summary>
    /// <param name="convertedToo">Whether the copy in another type was written along with them.</param>
    internal void MarkWritten(bool convertedToo = false)
    {
        _isConvertedFresh &= convertedToo;
        Basis?.MarkWritten(convertedToo);
        Part?.Whole.MarkWritten(convertedToo);
    }

    /// <summary>The gradient of a parameter: zeros where it had none. That of rows is rows of their matrix's.</summary>
    internal Tensor ParameterGradient()
    {
        Tensor? whole = Part?.Whole.ParameterGradient();
        Gradient ??= whole?.Rows(Part!.First, Shape[0]) ?? Zeros(Shape, Type, Device);
        if (!_isGradientForgotten) return Gradient;
        Gradient.Clear();
        _isGradientForgotten = false;
        return Gradient;
    }

    /// <summary>The same for whoever can store instead of adding.</summary>
    /// <param name="isForgotten">Whether to store: the elements are those of an earlier step.</param>
    internal Tensor ParameterGradient(out bool isForgotten)
    {
        isForgotten = _isGradientForgotten;
        _isGradientForgotten = false;
        return ParameterGradient();
    }

    /// <summary>Sets the gradient of a parameter to zero. That of rows may be there though nobody has asked for it yet.</summary>
    internal void ClearGradient()
    {
        if ((Gradient ?? Part?.Whole.Gradient) is not null) ParameterGradient().Clear();
    }

    /// <summary>Sets the gradient of a parameter to zero, but leaves it to the next who reads it or adds to it.</summary>
    internal void ForgetGradient() => _isGradientForgotten = Gradient is not null;

    /// <summary>Copies all elements to the host, as floats.</summary>
    public float[] ToArray()
    {
        var values = new float[Count];
        CopyTo(values);
        return values;
    }

    /// <summary>Copies all elements to the host, as floats, into memory that is there already.</summary>
    /// <param name="values">Receives as many values as there are elements.</param>
    /// <exception cref="OperandException">The number of values differs, or the tensor holds integers.</exception>
    public void CopyTo(Span<float> values)
    {
        if (Type is DType.BF16 or DType.F16 && values.Length == Count)
        {
            HalfPrecision.CopyTo(Storage, Type, values);
            return;
        }

        if (Type != DType.F32 || values.Length != Count)
            throw new OperandException(nameof(CopyTo), $"an F32 tensor of {values.Length} elements", $"{Type} {Shape}");
        for (long start = 0; start < values.Length; start += PieceElements)
            Storage.CopyToHost(MemoryMarshal.AsBytes(Piece(values, start)), start * sizeof(float));
    }

    /// <summary>Copies all I32 elements to the host.</summary>
    internal int[] ToIntegers()
    {
        if (Type != DType.I32) throw new OperandException(nameof(ToIntegers), $"a tensor of {DType.I32}", $"{Type} {Shape}");
        var values = new int[Count];
        for (long start = 0; start < values.Length; start += PieceElements)
            Storage.CopyToHost(MemoryMarshal.AsBytes(Piece(values.AsSpan(), start)), start * sizeof(int));
        return values;
    }

    /// <summary>The single F32 element of a tensor that has just one (a loss).</summary>
    public float Item() => Count == 1 ? ToArray()[0] : throw new OperandException(nameof(Item), "a tensor of one element", $"{Shape}");

    /// <summary>Sets all elements to zero.</summary>
    public void Clear()
    {
        Storage.Clear();
        MarkWritten();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _converted?.Dispose();
        _converted = null;
        _storage?.Release();
        _storage = null;
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Type} {Shape}{(_storage is null ? ", disposed" : "")}";

    /// <summary>Before memory is taken: nobody would give it back.</summary>
    private static void RequireCount(int values, Shape shape)
    {
        if (values != shape.Count) throw new OperandException(nameof(From), $"{shape.Count} values for the shape {shape}", $"{values}");
    }

    private Storage Held =>
        _storage ?? throw new ObjectDisposedException(nameof(Tensor), $"A tensor {Shape} was used after its tape was closed.");

    /// <summary>These rows of the copy of their matrix.</summary>
    private Tensor PartOf(Tensor copy)
    {
        if (_converted?.Part!.Whole == copy) return _converted;
        _converted?.Dispose();
        return _converted = copy.Rows(Part!.First, Shape[0]);
    }

    private CudaStorage OnCuda(Storage storage) =>
        storage as CudaStorage ?? throw new NotSupportedException($"A GPU cannot address a tensor on {Device}.");

    private CpuStorage Host(DType expected)
    {
        if (Type != expected) throw new OperandException("This kernel", $"a tensor of {expected}", $"{Type}");
        return Storage as CpuStorage ?? throw new NotSupportedException($"The host cannot address memory on {Device}; copy it with ToArray.");
    }

    private void CopyFromHost<T>(ReadOnlySpan<T> values, DType expected)
        where T : unmanaged
    {
        if (Type != expected || values.Length != Count)
            throw new OperandException(nameof(CopyFrom), $"{Count} values of {Type}", $"{values.Length} of {expected}");
        for (long start = 0; start < values.Length; start += PieceElements)
            Storage.CopyFromHost(MemoryMarshal.AsBytes(Piece(values, start)), start * sizeof(T));
    }

    private static Span<T> Piece<T>(Span<T> values, long start) => values.Slice((int)start, (int)Math.Min(PieceElements, values.Length - start));

    private static ReadOnlySpan<T> Piece<T>(ReadOnlySpan<T> values, long start) =>
        values.Slice((int)start, (int)Math.Min(PieceElements, values.Length - start));
}
