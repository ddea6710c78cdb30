using GatedFwa.Attention;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Attention;

/// <summary>The kernels and the reference against the oracle's files, within the tolerances of docs/precision.md.</summary>
public abstract class GatedWindowGoldenSuite(TestBackend backend) : TensorTest(backend)
{
    public static TheoryData<string> Files => Golden.Names("attention");

    [Theory]
    [MemberData(nameof(Files))]
    public void The_kernels_reach_the_golden_files(string file)
    {
        using Golden golden = Golden.Open(file);
        using var tape = new Tape();
        Tensor Activation(string name) => tape.Own(Backend.Activation(golden.Floats(name), golden.Shape(name)));
        Tensor q = tape.Watch(Activation("q")), k = tape.Watch(Activation("k")), v = tape.Watch(Activation("v"));
        Tensor? alpha = golden.Has("alpha") ? tape.Watch(tape.Own(Backend.Parameter(golden.Floats("alpha"), golden.Shape("alpha")))) : null;
        Tensor lse = tape.Allocate(golden.Shape("lse"), DType.F32, Backend.Device);
        var options = new AttentionOptions { Window = golden.Window, Scale = golden.Scale, Layout = golden.Layout };

        // The files' results are those of unrounded inputs.
        Dictionary<string, double[]> expected = Backend.Activations == DType.F32
            ? ((string[])["o", "lse", "dq", "dk", "dv", "dalpha"]).Where(golden.Has).ToDictionary(name => name, name => Samples.Widen(golden.Floats(name)))
            : Reference(golden, Backend);

        Tensor o = GatedWindowAttention.Apply(tape, q, k, v, alpha, options, lse);
        (double forward, double backward) = Tolerances(file);
        (forward, backward) = (Backend.Forward(forward), Backend.Gradient(backward));
        AssertClose("o", o, forward);
        AssertClose("lse", lse, forward);

        tape.Backward(o, Activation("do"));
        AssertClose("dq", tape.Gradient(q)!, backward);
        AssertClose("dk", tape.Gradient(k)!, backward);
        AssertClose("dv", tape.Gradient(v)!, backward);
        if (alpha is not null) AssertClose("dalpha", tape.Gradient(alpha)!, backward);

        void AssertClose(string name, Tensor actual, double tolerance)
        {
            double error = ErrorNorm.Relative(actual.ToArray(), expected[name]);
            TestContext.Current.TestOutputHelper!.WriteLine($"{file} {name}: {error:E2}");
            Assert.True(error <= tolerance, $"{name} of {file} is {error:E2} off, more than {tolerance:E0}.");
        }
    }

    /// <summary>What the reference makes of a file's inputs as a backend's activations hold them.</summary>
    internal static Dictionary<string, double[]> Reference(Golden golden, TestBackend backend)
    {
        double[] Input(string name) => Samples.Widen(backend.Round(golden.Floats(name)));
        double[]? alpha = golden.Has("alpha") ? Samples.Widen(golden.Floats("alpha")) : null;
        Shape q = golden.Shape("q"), k = golden.Shape("k");
        var shape = new GatedWindowShape(q[0], q[1], k[1], q[2], k[2], q[3]);
        var options = new AttentionOptions { Window = golden.Window, Scale = golden.Scale, Layout = golden.Layout };

        (double[] o, double[] lse) = GatedWindowReference.Forward(Input("q"), Input("k"), Input("v"), alpha, shape, options);
        (double[] dq, double[] dk, double[] dv, double[] dalpha) =
            GatedWindowReference.Backward(Input("q"), Input("k"), Input("v"), alpha, Input("do"), shape, options);
        return new() { ["o"] = o, ["lse"] = lse, ["dq"] = dq, ["dk"] = dk, ["dv"] = dv, ["dalpha"] = dalpha };
    }

    /// <summary>docs/precision.md: forward, gradients.</summary>
    private static (double Forward, double Backward) Tolerances(string file) =>
        file == "attention_large_logits" ? (5e-6, 4e-5) : (3e-6, 1e-5);
}

public sealed class GatedWindowGoldenTests() : GatedWindowGoldenSuite(TestBackend.Cpu);

public sealed class GatedWindowGoldenCudaTests() : GatedWindowGoldenSuite(TestBackend.CudaFloat32);

public sealed class GatedWindowGoldenCudaBFloat16Tests() : GatedWindowGoldenSuite(TestBackend.CudaBFloat16);

public sealed class GatedWindowGoldenCudaFloat16Tests() : GatedWindowGoldenSuite(TestBackend.CudaFloat16);
