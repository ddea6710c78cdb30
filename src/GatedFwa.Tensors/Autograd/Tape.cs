namespace GatedFwa.Tensors.Autograd;

/// <summary>
/// Records operations while it is open and owns every tensor they make; closing it gives all of that back to the pool.
/// </summary>
/// <example>
/// <code>
/// using var tape = new Tape();
/// Tensor loss = model.Loss(tape, tokens, targets);
/// tape.Backward(loss);   // gradients are in the parameters; everything else goes with the tape
/// </code>
/// </example>
public sealed class Tape : IDisposable
{
    private readonly List<Tensor> _owned = [];
    private readonly List<Node> _nodes = [];
    private readonly List<Tensor> _withGradient = [];
    private readonly HashSet<Tensor> _watched = [];
    private Dictionary<object, Tensor>? _shared; // Made when first asked for: most tapes share nothing.
    private List<TensorPart>? _columns;
    private bool _closed;

    /// <summary>Opens a tape.</summary>
    /// <param name="recording">False for inference: nothing is kept for a backward pass.</param>
    public Tape(bool recording = true) => IsRecording = recording;

    /// <summary>Whether operations are recorded for a backward pass.</summary>
    public bool IsRecording { get; }

    /// <summary>The names of the recorded operations, in order.</summary>
    public IEnumerable<string> Operations => _nodes.Select(node => node.Operation);

    /// <summary>A tensor owned by this tape, elements not set.</summary>
    /// <param name="shape">The extents.</param>
    /// <param name="type">The element type.</param>
    /// <param name="device">The device; the CPU unless given.</param>
    public Tensor Allocate(Shape shape, DType type = DType.F32, Device device = default) => Own(Tensor.Empty(shape, type, device));

    /// <summary>Hands a tensor to the tape, which disposes it when it closes.</summary>
    /// <param name="tensor">The tensor.</param>
    /// <returns>The same tensor.</returns>
    public Tensor Own(Tensor tensor)
    {
        if (_closed) tensor.Dispose();
        ObjectDisposedException.ThrowIf(_closed, this);
        _owned.Add(tensor);
        return tensor;
    }

    /// <summary>A tensor that several operations of this tape read (a table of angles): made by whoever asks first, and kept.</summary>
    /// <param name="key">Says by its value what the tensor holds.</param>
    /// <param name="make">Makes it; the tape owns it from then on.</param>
    internal Tensor Shared(object key, Func<Tensor> make)
    {
        ObjectDisposedException.ThrowIf(_closed, this);
        _shared ??= [];
        if (!_shared.TryGetValue(key, out Tensor? tensor)) _shared[key] = tensor = make();
        return tensor;
    }

    /// <summary>The same elements under another shape, owned by this tape; gradients pass through.</summary>
    /// <param name="tensor">The tensor.</param>
    /// <param name="shape">The new extents.</param>
    public Tensor View(Tensor tensor, Shape shape) => Own(tensor.View(shape));

    /// <summary>Columns of a tensor on a GPU in place, owned by this tape; <see cref="Tensor.Columns"/>. Their gradients are written side
    /// by side, so that all columns must be asked for, each of them once, and a gradient flow to all.</summary>
    internal Tensor Columns(Tensor tensor, int first, Shape shape)
    {
        Tensor columns = Own(tensor.Columns(first, shape));
        if (IsRecording) (_columns ??= []).Add(columns.Part!);
        return columns;
    }

    /// <summary>Asks for the gradient with respect to a tensor that is not a parameter; read it with <see cref="Gradient"/>.</summary>
    /// <param name="tensor">The tensor.</param>
    /// <returns>The same tensor.</returns>
    public Tensor Watch(Tensor tensor)
    {
        tensor.RequiresGradient = true;
        _watched.Add(tensor.Basis ?? tensor);
        return tensor;
    }

    /// <summary>The gradient of a watched tensor after a backward pass, valid until the tape closes; null where none flowed.</summary>
    /// <param name="tensor">The tensor.</param>
    public Tensor? Gradient(Tensor tensor) => (tensor.Basis ?? tensor).Gradient?.Alias(tensor.Shape);

    /// <summary>
    /// Runs a part of a forward pass whose intermediates nobody needs afterwards. While recording it changes nothing; for
    /// inference everything made inside is given back at once, but for the result.
    /// </summary>
    /// <param name="body">Makes the result on this tape.</param>
    public Tensor Scoped(Func<Tensor> body) => Scoped(body, static body => body());

    /// <summary>The same with what the part works on, so that nothing is captured where a part runs for every token.</summary>
    internal Tensor Scoped<TState>(TState state, Func<TState, Tensor> body)
    {
        if (IsRecording) return body(state);
        int start = _owned.Count;
        Tensor result = body(state);
        GiveBackFrom(start, result, null);
        return result;
    }

    /// <summary>The same of a part with two results, the second of which may be absent.</summary>
    internal (Tensor First, Tensor? Second) Scoped<TState>(TState state, Func<TState, (Tensor First, Tensor? Second)> body)
    {
        if (IsRecording) return body(state);
        int start = _owned.Count;
        (Tensor First, Tensor? Second) results = body(state);
        GiveBackFrom(start, results.First, results.Second);
        return results;
    }

    /// <summary>For inference: gives back a tensor of this tape before it closes.</summary>
    internal void GiveBack(Tensor tensor)
    {
        if (!IsRecording && _owned.Remove(tensor)) tensor.Dispose();
    }

    // All that was made since but these two.
    private void GiveBackFrom(int start, Tensor first, Tensor? second)
    {
        int kept = start;
        for (int i = start; i < _owned.Count; i++)
        {
            Tensor tensor = _owned[i];
            if (tensor == first || tensor == second) _owned[kept++] = tensor;
            else tensor.Dispose();
        }

        _owned.RemoveRange(kept, _owned.Count - kept);
    }

    /// <summary>Runs the recorded operations backwards, adding to the gradients of parameters and watched tensors.</summary>
    /// <param name="loss">A tensor that was made on this tape.</param>
    /// <param name="seed">The gradient of every element of <paramref name="loss"/>: 1 unless gradients are accumulated over parts.</param>
    /// <exception cref="InvalidOperationException">The tape does not record, or nothing that led to the loss needs a gradient.</exception>
    public void Backward(Tensor loss, float seed = 1)
    {
        using Tensor upstream = Tensor.Empty(loss.Shape, loss.Type, loss.Device);
        var values = new float[loss.Count];
        Array.Fill(values, seed);
        upstream.CopyFrom(values);
        Run(loss, upstream);
    }

    /// <summary>Runs the recorded operations backwards from a given gradient of an output.</summary>
    /// <param name="output">A tensor that was made on this tape.</param>
    /// <param name="upstream">The gradient with respect to it, in its shape; only read, and not after this call.</param>
    /// <exception cref="InvalidOperationException">The tape does not record, or nothing that led to the output needs a
    /// gradient.</exception>
    public void Backward(Tensor output, Tensor upstream)
    {
        Run(output, upstream);
        // The caller may do as they like with theirs: what has been handed on to the end becomes a copy.
        Tensor? copy = null;
        foreach (Tensor tensor in _withGradient)
        {
            if (tensor.Gradient is not { } gradient || gradient.Storage != upstream.Storage) continue;
            copy ??= Own(gradient.Copy());
            tensor.Gradient = Own(copy.View(gradient.Shape));
            gradient.Dispose();
        }
    }

    /// <summary>Whether an operation with these inputs must be recorded.</summary>
    internal bool NeedsGradient(params ReadOnlySpan<Tensor?> inputs)
    {
        if (!IsRecording) return false;
        foreach (Tensor? input in inputs)
        {
            if (input is { RequiresGradient: true }) return true;
        }

        return false;
    }

    /// <summary>Records an operation whose output needs a gradient.</summary>
    /// <param name="operation">Its name.</param>
    /// <param name="output">Its output, made on this tape.</param>
    /// <param name="backward">Given the gradient of the output, adds to the accumulators of the inputs.</param>
    internal void Record(string operation, Tensor output, Action<Tensor> backward)
    {
        output.RequiresGradient = true;
        _nodes.Add(new Node(operation, output, backward));
    }

    /// <summary>The tensor that a backward kernel adds an input's gradient to (zeros at first), or null where none is needed.</summary>
    internal Tensor? Accumulator(Tensor? input)
    {
        Tensor? accumulator = Accumulator(input, out bool isFresh);
        if (isFresh) accumulator!.Clear();
        return accumulator;
    }

    /// <summary>The same for a kernel that can also write every element: spares filling memory with zeros only to add to them.</summary>
    /// <param name="input">The input of an operation.</param>
    /// <param name="isFresh">True where the elements are not set and the kernel must store, not add.</param>
    internal Tensor? Accumulator(Tensor? input, out bool isFresh)
    {
        isFresh = false;
        if (input is not { RequiresGradient: true }) return null;
        if (input.Basis is { } basis)
        {
            Tensor whole = Accumulator(basis, out isFresh)!;
            if (input.Part is not { } columns) return whole.Alias(input.Shape);
            isFresh = !columns.HasGradient;
            columns.HasGradient = true;
            return whole.ColumnAlias(columns.First, input.Shape);
        }

        if (input.IsParameter) return input.ParameterGradient(out isFresh);
        if (input.Gradient is null)
        {
            isFresh = true;
            return SetGradient(input, Tensor.Empty(input.Shape, input.Type, input.Device));
        }

        // Handed on and still held by another tensor: add to a copy.
        if (input.Gradient.Storage.IsShared)
        {
            Tensor copy = input.Gradient.Copy();
            input.Gradient.Dispose();
            SetGradient(input, copy);
        }

        return input.Gradient;
    }

    /// <summary>
    /// Lets an input whose gradient is exactly that of the output share its memory. Whoever adds to it later, while others
    /// still hold it, gets a copy (<see cref="Accumulator(Tensor?)"/>).
    /// </summary>
    /// <returns>False where the input already has a gradient to add to: then nothing was done.</returns>
    internal bool TryHandOn(Tensor gradient, Tensor input)
    {
        if (!input.RequiresGradient) return true;
        Tensor root = input.Basis ?? input;
        if (root.IsParameter || root.Gradient is not null || input.Part is not null) return false;
        SetGradient(root, gradient.View(root.Shape));
        return true;
    }

    private void Run(Tensor output, Tensor upstream)
    {
        ObjectDisposedException.ThrowIf(_closed, this);
        if (!IsRecording)
            throw new InvalidOperationException("This tape was opened for inference; open it with recording: true to take gradients.");
        if (!output.RequiresGradient) throw new InvalidOperationException("Nothing that led to this tensor needs a gradient.");
        // Read where it lies, as a gradient that an operation hands on.
        bool isLent = upstream.Count == output.Count && upstream.Type == output.Type && upstream.Device == output.Device &&
            upstream.Part is null && TryHandOn(upstream, output);
        if (!isLent) Accumulator(output, out _)!.CopyFrom(upstream);
        for (int i = _nodes.Count - 1; i >= 0; i--)
        {
            Node node = _nodes[i];
            if (node.Output.Gradient is not { } gradient) continue;
            if (_columns?.Exists(columns => columns.Whole == node.Output && !columns.HasGradient) == true)
                throw new InvalidOperationException($"No gradient has flowed to some columns of the result of {node.Operation}.");
            node.Backward(gradient);
            // Nobody upstream of this operation reads the gradient of its output again.
            if (_watched.Contains(node.Output)) continue;
            gradient.Dispose();
            node.Output.Gradient = null;
        }

        _nodes.Clear();
    }

    private Tensor SetGradient(Tensor input, Tensor gradient)
    {
        _withGradient.Add(input);
        return input.Gradient = Own(gradient);
    }

    /// <summary>Gives back everything the tape owns.</summary>
    public void Dispose()
    {
        if (_closed) return;
        _closed = true;
        foreach (Tensor tensor in _withGradient) tensor.Gradient = null;
        foreach (Tensor tensor in _owned) tensor.Dispose();
        foreach (Tensor tensor in _shared?.Values ?? Enumerable.Empty<Tensor>()) tensor.Dispose();
        _owned.Clear();
        _shared = null;
        _nodes.Clear();
        _withGradient.Clear();
        _watched.Clear();
    }

    private sealed record Node(string Operation, Tensor Output, Action<Tensor> Backward);
}
