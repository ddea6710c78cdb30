using GatedFwa.Attention;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Cli.Commands.Bench;

/// <summary>Inputs of one attention and its two timed directions.</summary>
internal sealed class AttentionRun : IDisposable
{
    private readonly Tensor _q, _k, _v, _do;
    private readonly Tensor? _alpha;
    private readonly AttentionOptions _options;

    public AttentionRun(
        int tokens, int heads, int headSize, int? window, bool gated, int batch = 1, Device device = default, DType type = DType.F32)
    {
        Shape shape = [batch, tokens, heads, headSize];
        _q = RandomTensor.Normal(shape, seed: 1, device, type);
        _k = RandomTensor.Normal(shape, seed: 2, device, type);
        _v = RandomTensor.Normal(shape, seed: 3, device, type);
        _do = RandomTensor.Normal(shape, seed: 4, device, type);
        _alpha = gated ? RandomTensor.Decay([batch, tokens, heads], seed: 5, device) : null;
        _options = new AttentionOptions { Window = window };
        double multiplications = (double)VisiblePairs(tokens, window) * batch * heads * headSize;
        ForwardFlops = 4 * multiplications;
        BackwardFlops = 10 * multiplications;
    }

    /// <summary>Two products (QKᵀ, PV) over the visible pairs.</summary>
    public double ForwardFlops { get; }

    /// <summary>Five products (QKᵀ again, dP, dQ, dK, dV) over the visible pairs.</summary>
    public double BackwardFlops { get; }

    /// <summary>Pairs of query and key that see each other: only they count as work.</summary>
    public static long VisiblePairs(long tokens, int? window)
    {
        long w = Math.Min(window ?? tokens, tokens);
        return (w * (w + 1) / 2) + ((tokens - w) * w);
    }

    /// <summary>Seconds of a forward pass that nobody will differentiate.</summary>
    public double Forward() => Clock.Seconds(RunForward);

    /// <summary>Seconds of a backward pass alone.</summary>
    public double Backward()
    {
        using Tape tape = Record(out Tensor o);
        return Clock.Seconds(() => RunBackward(tape, o));
    }

    /// <summary>Seconds of both.</summary>
    public double ForwardAndBackward() => Clock.Seconds(RunForwardAndBackward);

    /// <summary>A forward pass that nobody will differentiate.</summary>
    public void RunForward()
    {
        using var tape = new Tape(recording: false);
        GatedWindowAttention.Apply(tape, _q, _k, _v, _alpha, _options);
    }

    /// <summary>Both passes.</summary>
    public void RunForwardAndBackward()
    {
        using Tape tape = Record(out Tensor o);
        RunBackward(tape, o);
    }

    /// <summary>A forward pass on a tape of its own, for <see cref="RunBackward"/>.</summary>
    public Tape Record(out Tensor o)
    {
        var tape = new Tape();
        if (_alpha is not null) tape.Watch(_alpha);
        o = GatedWindowAttention.Apply(tape, tape.Watch(_q), tape.Watch(_k), tape.Watch(_v), _alpha, _options);
        return tape;
    }

    /// <summary>A backward pass alone; its tape must close before that of another record of this run is run back.</summary>
    public void RunBackward(Tape tape, Tensor o) => tape.Backward(o, _do);

    public void Dispose()
    {
        _q.Dispose();
        _k.Dispose();
        _v.Dispose();
        _do.Dispose();
        _alpha?.Dispose();
    }
}
