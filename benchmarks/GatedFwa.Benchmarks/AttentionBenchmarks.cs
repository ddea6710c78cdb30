using BenchmarkDotNet.Attributes;
using GatedFwa.Attention;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Benchmarks;

/// <summary>Gated window attention, B1 H8 T4096 D64; for shares of the machine's peak see <c>gatedfwa bench attention</c>.</summary>
public class AttentionBenchmarks
{
    private const int Tokens = 4096, Heads = 8, HeadSize = 64;
    private Tensor _q = null!, _k = null!, _v = null!, _alpha = null!, _do = null!;

    /// <summary>Keys a query sees.</summary>
    [Params(128, 512, Tokens)]
    public int Window { get; set; }

    /// <summary>With or without decay.</summary>
    [Params(false, true)]
    public bool Gate { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        _q = Normal(1, Heads, HeadSize);
        _k = Normal(2, Heads, HeadSize);
        _v = Normal(3, Heads, HeadSize);
        _do = Normal(4, Heads, HeadSize);
        _alpha = Tensor.Empty([1, Tokens, Heads]);
        _alpha.AsSpan().Fill(0.127f);
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        foreach (Tensor tensor in new[] { _q, _k, _v, _alpha, _do }) tensor.Dispose();
    }

    [Benchmark]
    public void Forward()
    {
        using var tape = new Tape(recording: false);
        GatedWindowAttention.Apply(tape, _q, _k, _v, Gate ? _alpha : null, new AttentionOptions { Window = Window });
    }

    [Benchmark]
    public void ForwardAndBackward()
    {
        using var tape = new Tape();
        foreach (Tensor input in new[] { _q, _k, _v, _alpha }) tape.Watch(input);
        Tensor o = GatedWindowAttention.Apply(tape, _q, _k, _v, Gate ? _alpha : null, new AttentionOptions { Window = Window });
        tape.Backward(o, _do);
    }

    private static Tensor Normal(ulong seed, int heads, int size)
    {
        var random = new CounterRandom(seed);
        Tensor tensor = Tensor.Empty([1, Tokens, heads, size]);
        Span<float> values = tensor.AsSpan();
        for (int i = 0; i < values.Length; i++) values[i] = random.Normal(i);
        return tensor;
    }
}
