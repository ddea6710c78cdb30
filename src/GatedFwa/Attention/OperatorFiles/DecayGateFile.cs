using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;

namespace GatedFwa.Attention;

/// <summary>The decay gate on the tensors of a file.</summary>
internal static class DecayGateFile
{
    private const float DefaultEpsilon = 1e-3f;
    private static readonly string[] Optional = ["dalpha", "cu_seqlens"];
    private static readonly string[] Known = ["x", "gate_weight", "gate_bias", "amplitude_weight", "alpha", "u", "dx", "dgate_weight", "dgate_bias", "damplitude_weight"];

    public static OperatorResult Run(OperatorInputs inputs, OperatorSettings settings)
    {
        inputs.RefuseMisspelt(Optional, Known);
        Shape features = inputs.Shape("x", "B", "T", "C"), weights = inputs.Shape("gate_weight", "H", "C");
        Shape gates = [features[0], features[1], weights[0]];
        float epsilon = inputs.Number("epsilon", settings.Epsilon) ?? DefaultEpsilon;
        if (epsilon < 0) throw new InputException($"The epsilon is {epsilon} where a number of at least 0 is expected; give another.");
        bool backward = inputs.Has("dalpha");

        using var tape = new Tape(recording: backward);
        Tensor Parameter(string name, Shape shape) => tape.Watch(tape.Own(inputs.ReadFloats(name, shape, settings)));
        Tensor x = tape.Watch(tape.Own(inputs.Read("x", features, settings))), gateWeight = Parameter("gate_weight", weights);
        Tensor gateBias = Parameter("gate_bias", [weights[0]]), amplitudeWeight = Parameter("amplitude_weight", weights);
        SequenceLayout layout = inputs.Layout(features[0], features[1]);
        (Tensor alpha, float[] u) = settings.Device.IsCpu ? OnCpu() : OnCuda();

        var outputs = new OperatorOutputs(OperatorFile.GateKind);
        outputs.Note("epsilon", epsilon);
        outputs.Add("alpha", alpha);
        outputs.Add("u", gates, u);
        if (!backward) return outputs.Result();
        tape.Backward(alpha, tape.Own(inputs.ReadFloats("dalpha", gates, settings)));
        outputs.AddGradients(tape, ("x", x), ("gate_weight", gateWeight), ("gate_bias", gateBias), ("amplitude_weight", amplitudeWeight));
        return outputs.Result();

        (Tensor, float[]) OnCpu()
        {
            using var prefix = new TwoLevelPrefix(layout, features[0], features[1], weights[0]);
            return (DecayGate.Apply(tape, x, gateWeight, gateBias, amplitudeWeight, epsilon, prefix), prefix.ToDecay());
        }

        (Tensor, float[]) OnCuda()
        {
            using DecayGatePrefix prefix = DecayGatePrefix.Empty(features[0], features[1], weights[0], settings.Device);
            return (DecayGate.ApplyOnCuda(tape, x, gateWeight, gateBias, amplitudeWeight, epsilon, prefix), prefix.ToDecay(layout));
        }
    }
}
