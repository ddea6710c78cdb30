using GatedFwa.Attention;
using GatedFwa.Generation;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;

namespace GatedFwa.Layers;

/// <summary>The token mixer (docs/operator.md, "The layer"): every piece but the projections is an option of the configuration.</summary>
internal sealed class AttentionLayer
{
    private readonly ModelConfig _config;
    private readonly Parameter _query, _key, _value, _output;
    private readonly Parameter? _keyShift, _valueShift, _queryNorm, _keyNorm;
    private readonly Parameter? _gate, _gateBias, _gateAmplitude, _branchGate, _branchGateBias;

    public AttentionLayer(ModelConfig config, ParameterSet parameters)
    {
        _config = config;
        _query = parameters["query.weight"];
        _key = parameters["key.weight"];
        _value = parameters["value.weight"];
        _output = parameters["output.weight"];
        if (config.TokenShift) (_keyShift, _valueShift) = (parameters["key_shift.weight"], parameters["value_shift.weight"]);
        if (config.QkNorm) (_queryNorm, _keyNorm) = (parameters["query_norm.weight"], parameters["key_norm.weight"]);
        if (config.Gate)
            (_gate, _gateBias, _gateAmplitude) = (parameters["gate.weight"], parameters["gate.bias"], parameters["gate.amplitude.weight"]);
        if (config.NativeSparse is not null)
            (_branchGate, _branchGateBias) = (parameters["branch_gate.weight"], parameters["branch_gate.bias"]);
    }

    /// <summary>[B, T, C], normalised → [B, T, C].</summary>
    public Tensor Apply(Tape tape, Tensor x, ForwardPass pass)
    {
        // The memory of a text keeps the last key and value as they are here.
        var projections = new Projections(tape, x, _query, apart: pass.State is not null);
        Tensor q = Prepare(tape, projections.Of(_query), _queryNorm, _config.Heads, pass);
        Tensor k = Keys(tape, projections, pass);
        Tensor v = Shift(tape, projections, _value, _valueShift, pass, pass.State?.PreviousValue);
        v = Heads(tape, v, _config.KeyHeads);
        (Tensor? alpha, DecayGatePrefix? prefix) = Gate(tape, x, projections, pass);
        pass.Observer?.Attends(pass.Layer, q, k, alpha);

        Tensor o = _branchGate is null
            ? AttendWindow(tape, q, k, v, alpha, prefix, pass)
            : AttendSparse(tape, q, k, v, alpha, prefix, Branches(tape, x), pass);
        return Linear.Apply(tape, tape.View(o, x.Shape), _output);
    }

    private Tensor AttendSparse(
        Tape tape, Tensor q, Tensor k, Tensor v, Tensor? alpha, DecayGatePrefix? prefix, BranchGates gates, ForwardPass pass)
    {
        if (pass.State?.History is { } history)
            return NativeSparseAttention.Continue(tape, q, k, v, history, gates, () => AttendWindow(tape, q, k, v, alpha, prefix, pass));
        return NativeSparseAttention.Apply(
            tape, q, k, v, alpha, prefix, gates, _config.NativeSparse!.Options(_config.Window) with { Layout = pass.Layout });
    }

    private Tensor AttendWindow(Tape tape, Tensor q, Tensor k, Tensor v, Tensor? alpha, DecayGatePrefix? prefix, ForwardPass pass)
    {
        var options = new AttentionOptions { Window = _config.Window, Layout = pass.Layout };
        if (pass.State?.Ring is { } ring)
        {
            if (q.Shape[1] == 1)
            {
                ring.Append(k, v, alpha);
                return RingDecode.Apply(tape, q, ring);
            }

            (k, v, alpha) = ring.Extend(tape, k, v, alpha);
        }

        return GatedWindowAttention.Apply(tape, q, k, v, alpha, prefix, options);
    }

    /// <summary>How much each branch counts, one projection for all three: in float32, whatever the activations are.</summary>
    private BranchGates Branches(Tape tape, Tensor x)
    {
        Tensor logits = Linear.Apply(tape, x, _branchGate!, _branchGateBias!, DType.F32);
        Tensor Gate(int branch) => Sigmoid.Apply(tape, logits, branch * _config.Heads, _config.Heads);
        return new(Gate(0), Gate(1), Gate(2));
    }

    /// <summary>The decays, and on a GPU their prefix, unless a text's past is yet to come before them.</summary>
    private (Tensor? Alpha, DecayGatePrefix? Prefix) Gate(Tape tape, Tensor x, Projections projections, ForwardPass pass)
    {
        if (_gate is null) return default;
        if (x.Device.IsCpu || pass.State is not null) return (DecayGate.Apply(tape, x, _gate, _gateBias!, _gateAmplitude!), null);
        DecayGatePrefix prefix = DecayGatePrefix.On(tape, x.Shape[0], x.Shape[1], _config.Heads, x.Device);
        Tensor? projected = projections.OfBoth(_gate, _gateAmplitude!);
        return (DecayGate.ApplyOnCuda(tape, x, _gate, _gateBias!, _gateAmplitude!, DecayGate.DefaultEpsilon, prefix, projected), prefix);
    }

    /// <summary>Keys, shifted and prepared, as far as the configuration says so.</summary>
    private Tensor Keys(Tape tape, Projections projections, ForwardPass pass)
    {
        Tensor? previous = pass.State?.PreviousKey;
        if (_keyShift is null || _keyNorm is null || !_config.Rotary)
            return Prepare(tape, Shift(tape, projections, _key, _keyShift, pass, previous), _keyNorm, _config.KeyHeads, pass);
        Tensor heads = Heads(tape, projections.Of(_key), _config.KeyHeads);
        Tensor k = ShiftNormRotary.Apply(
            tape, heads, projections.Of(_keyShift), _keyNorm, _config.NormEpsilon, pass.FirstPositions.Span, _config.RotaryBase,
            pass.Layout, previous);
        if (previous is not null) LayerState.Remember(heads, previous, pass.Idle);
        return k;
    }

    /// <summary>A projection of x, each key head of it mixed with that of the token before.</summary>
    private Tensor Shift(Tape tape, Projections projections, Parameter weight, Parameter? shift, ForwardPass pass, Tensor? previous)
    {
        Tensor projected = projections.Of(weight);
        if (shift is null) return projected;
        Tensor heads = Heads(tape, projected, _config.KeyHeads);
        Tensor mixed = TokenShift.Apply(tape, heads, projections.Of(shift), pass.Layout, previous);
        if (previous is not null) LayerState.Remember(heads, previous, pass.Idle);
        return tape.View(mixed, projected.Shape);
    }

    /// <summary>A projection, normalised over all of its width and turned head by head, as far as the configuration says so.</summary>
    private Tensor Prepare(Tape tape, Tensor x, Parameter? norm, int heads, ForwardPass pass)
    {
        if (norm is not null && !_config.Rotary) x = RmsNorm.Apply(tape, x, norm, _config.NormEpsilon);
        x = Heads(tape, x, heads);
        if (!_config.Rotary) return x;
        return norm is null
            ? Rotary.Apply(tape, x, pass.FirstPositions.Span, _config.RotaryBase)
            : RmsNormRotary.Apply(tape, x, norm, _config.NormEpsilon, pass.FirstPositions.Span, _config.RotaryBase);
    }

    private Tensor Heads(Tape tape, Tensor x, int heads) => tape.View(x, [x.Shape[0], x.Shape[1], heads, _config.HeadSize]);
}
