using GatedFwa.Attention;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Cli.Commands.Bench;

/// <summary>Inputs of one native sparse attention, its two directions, and full attention to the same inputs beside it.</summary>
internal sealed class NativeSparseRun : IDisposable
{
    private static readonly AttentionOptions Full = new();

    private readonly Tensor _q, _k, _v, _do, _alpha;
    private readonly BranchGates _gates;
    private readonly NativeSparseOptions _options;

    public NativeSparseRun(
        int tokens, int heads, int keyHeads, int headSize, NativeSparseOptions options, Device device = default, DType type = DType.F32)
    {
        Shape queries = [1, tokens, heads, headSize], keys = [1, tokens, keyHeads, headSize], gates = [1, tokens, heads];
        _q = RandomTensor.Normal(queries, seed: 1, device, type);
        _k = RandomTensor.Normal(keys, seed: 2, device, type);
        _v = RandomTensor.Normal(keys, seed: 3, device, type);
        _do = RandomTensor.Normal(queries, seed: 4, device, type);
        _alpha = RandomTensor.Decay(gates, seed: 5, device);
        _gates = new(
            RandomTensor.Decay(gates, seed: 6, device),
            RandomTensor.Decay(gates, seed: 7, device),
            RandomTensor.Decay(gates, seed: 8, device));
        _options = options;
    }

    /// <summary>A forward pass of native sparse attention on a tape of its own.</summary>
    public Tape Record(out Tensor o)
    {
        Tape tape = Watch();
        foreach (Tensor gate in new[] { _gates.Compressed, _gates.Selected, _gates.Window }) tape.Watch(gate);
        o = NativeSparseAttention.Apply(tape, _q, _k, _v, _alpha, _gates, _options);
        return tape;
    }

    /// <summary>The same of full attention.</summary>
    public Tape RecordFull(out Tensor o)
    {
        Tape tape = Watch();
        o = GatedWindowAttention.Apply(tape, _q, _k, _v, _alpha, Full);
        return tape;
    }

    /// <summary>A backward pass alone; its tape must close before that of another record of this run is run back.</summary>
    public void RunBackward(Tape tape, Tensor o) => tape.Backward(o, _do);

    public void Dispose()
    {
        foreach (Tensor tensor in new[] { _q, _k, _v, _do, _alpha, _gates.Compressed, _gates.Selected, _gates.Window }) tensor.Dispose();
    }

    private Tape Watch()
    {
        var tape = new Tape();
        foreach (Tensor input in new[] { _q, _k, _v, _alpha }) tape.Watch(input);
        return tape;
    }
}
