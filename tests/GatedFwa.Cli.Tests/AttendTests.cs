using GatedFwa.Checkpoints;
using GatedFwa.Testing;

namespace GatedFwa.Cli.Tests;

public sealed class AttendTests : CommandTest
{
    private const double ForwardTolerance = 3e-6, GradientTolerance = 1e-5; // docs/precision.md

    [Theory]
    [InlineData("attention_basic")]
    [InlineData("attention_cached_prefix")]
    [InlineData("attention_no_gate")]
    [InlineData("attention_packed")]
    public void Attention_and_its_gradients_match_the_golden_file(string name)
    {
        Succeeded(Run("attend", Golden(name), "out.safetensors"));

        using SafetensorsFile expected = SafetensorsFile.Open(Golden(name)), actual = SafetensorsFile.Open(InFolder("out.safetensors"));
        string[] gradients = expected.Contains("dalpha") ? ["dq", "dk", "dv", "dalpha"] : ["dq", "dk", "dv"];
        foreach (string tensor in (string[])["o", "lse"]) AssertNear(expected, actual, tensor, ForwardTolerance);
        foreach (string tensor in gradients) AssertNear(expected, actual, tensor, GradientTolerance);
    }

    [Fact]
    public void The_gate_and_its_gradients_match_the_golden_file()
    {
        Succeeded(Run("attend", Golden("gate_basic"), "out.safetensors", "--device", "cpu", "--dtype", "f32"));

        using SafetensorsFile expected = SafetensorsFile.Open(Golden("gate_basic")), actual = SafetensorsFile.Open(InFolder("out.safetensors"));
        AssertNear(expected, actual, "alpha", 5e-6);
        foreach (string tensor in (string[])["dx", "dgate_weight", "dgate_bias", "damplitude_weight"])
            AssertNear(expected, actual, tensor, 2e-5);
    }

    [Fact]
    public void Native_sparse_attention_and_its_gradients_match_the_golden_file()
    {
        Succeeded(Run("attend", Golden("nsa_odd"), "out.safetensors"));

        using SafetensorsFile expected = SafetensorsFile.Open(Golden("nsa_odd"));
        using SafetensorsFile actual = SafetensorsFile.Open(InFolder("out.safetensors"));
        AssertNear(expected, actual, "o", ForwardTolerance);
        foreach (string tensor in (string[])["dq", "dk", "dv", "dalpha", "dg_cmp", "dg_slc", "dg_win"])
            AssertNear(expected, actual, tensor, GradientTolerance);
        Assert.Equal(
            expected.ReadIntegers("block_indices").Chunk(3).Select(choice => choice.ToHashSet()),
            actual.ReadIntegers("block_indices").Chunk(3).Select(choice => choice.ToHashSet()));
    }

    [Fact]
    public void Blocks_of_one_token_chosen_alone_override_the_file()
    {
        Succeeded(Run("attend", Golden("nsa_odd"), "out.safetensors", "--block-size", "1", "--block-count", "1"));

        // A query chooses its own token.
        using SafetensorsFile output = SafetensorsFile.Open(InFolder("out.safetensors"));
        Assert.Equal(Enumerable.Range(0, 75), output.ReadIntegers("block_indices")[..75]);
        RefusedAsUsage(Run("attend", Golden("nsa_odd"), "out.safetensors", "--block-count", "0"), "--block-count");
    }

    [Fact]
    public void A_window_of_one_key_gives_the_values_themselves_and_overrides_the_file()
    {
        Succeeded(Run("attend", Golden("attention_basic"), "out.safetensors", "--window", "1"));

        using SafetensorsFile input = SafetensorsFile.Open(Golden("attention_basic")), output = SafetensorsFile.Open(InFolder("out.safetensors"));
        Assert.True(ErrorNorm.Relative(output.ReadFloats("o"), input.ReadFloats("v")) <= ForwardTolerance);
    }

    [Fact]
    public void The_scale_overrides_the_file()
    {
        Succeeded(Run("attend", Golden("attention_basic"), "same.safetensors", "--scale", "0.25"));
        Succeeded(Run("attend", Golden("attention_basic"), "other.safetensors", "--scale", "0.5"));

        using SafetensorsFile golden = SafetensorsFile.Open(Golden("attention_basic"));
        using SafetensorsFile same = SafetensorsFile.Open(InFolder("same.safetensors")), other = SafetensorsFile.Open(InFolder("other.safetensors"));
        AssertNear(golden, same, "o", ForwardTolerance);
        Assert.True(ErrorNorm.Relative(other.ReadFloats("o"), golden.ReadFloats("o")) > 0.01);
    }

    [Fact]
    public void Numbers_that_are_not_numbers_are_refused()
    {
        WriteAttention("nan.safetensors", q => q[3] = float.NaN);

        RefusedWithOneSentence(Run("attend", "nan.safetensors", "out.safetensors"), "q", "NaN");
        Assert.False(File.Exists(InFolder("out.safetensors")));
    }

    [Theory]
    [InlineData("q")]
    [InlineData("k")]
    [InlineData("v")]
    public void A_missing_tensor_is_named(string missing)
    {
        WriteAttention("missing.safetensors", without: missing);

        RefusedWithOneSentence(Run("attend", "missing.safetensors", "out.safetensors"), $"\"{missing}\"");
    }

    [Fact]
    public void A_tensor_of_the_wrong_shape_is_named()
    {
        SafetensorsWriter.Write(
            InFolder("shape.safetensors"),
            [Floats("q", 1, 4, 2, 8), Floats("k", 1, 4, 2, 16), Floats("v", 1, 4, 2, 8)],
            Attention);

        RefusedWithOneSentence(Run("attend", "shape.safetensors", "out.safetensors"));
    }

    [Fact]
    public void A_tensor_of_the_wrong_type_is_named()
    {
        SafetensorsWriter.Write(
            InFolder("type.safetensors"),
            [Floats("q", 1, 4, 2, 8), SafetensorsTensor.Integers("k", [1, 4, 2, 8], new int[64]), Floats("v", 1, 4, 2, 8)],
            Attention);

        RefusedWithOneSentence(Run("attend", "type.safetensors", "out.safetensors"), "\"k\"");
    }

    [Theory]
    [InlineData(2, 12)] // a head size that is no multiple of 8
    [InlineData(2, 264)] // and one that is too large
    [InlineData(3, 8)] // query heads that are no multiple of the 2 key heads
    public void Impossible_shapes_are_refused(int heads, int headSize)
    {
        SafetensorsWriter.Write(
            InFolder("shape.safetensors"), [Floats("q", 1, 4, heads, headSize), Floats("k", 1, 4, 2, headSize), Floats("v", 1, 4, 2, headSize)], Attention);

        RefusedWithOneSentence(Run("attend", "shape.safetensors", "out.safetensors"));
    }

    [Fact]
    public void An_operator_that_this_build_lacks_is_refused()
    {
        SafetensorsWriter.Write(
            InFolder("kind.safetensors"),
            [Floats("q", 1, 4, 2, 8)],
            new Dictionary<string, string> { ["kind"] = "fortune_telling" });

        RefusedWithOneSentence(Run("attend", "kind.safetensors", "out.safetensors"), "fortune_telling");
    }

    [Fact]
    public void A_window_of_no_keys_is_refused() =>
        RefusedAsUsage(Run("attend", Golden("attention_basic"), "out.safetensors", "--window", "0"), "--window");

    [Fact]
    public void Another_precision_is_refused() =>
        Assert.Equal(2, Run("attend", Golden("attention_basic"), "out.safetensors", "--dtype", "f8").ExitCode);

    [Fact]
    public void A_device_that_is_not_there_is_never_replaced_by_another()
    {
        foreach (string device in (string[])["cuda:99", "cuda:-1", "cuda:", "cuda:one", "tpu"])
            RefusedWithOneSentence(Run("attend", Golden("attention_basic"), "out.safetensors", "--device", device), $"--device {device}");
        Assert.False(File.Exists(InFolder("out.safetensors")));
    }

    [Theory]
    [InlineData("bf16")]
    [InlineData("f16")]
    public void The_processor_has_one_precision(string type)
    {
        RefusedWithOneSentence(Run("attend", Golden("attention_basic"), "out.safetensors", "--dtype", type), "f32", "GPU");
        Assert.False(File.Exists(InFolder("out.safetensors")));
    }

    [Theory]
    [InlineData("f32", 3e-6, 1e-5, 5e-6, 2e-5)]
    [InlineData("bf16", 4e-3, 8e-3, 4e-3, 8e-3)]
    public void A_GPU_matches_the_golden_files(string type, double forward, double gradient, double gateForward, double gateGradient)
    {
        Assert.SkipWhen(TestBackend.CudaFloat32.Missing is not null, TestBackend.CudaFloat32.Missing ?? "");
        Succeeded(Run("attend", Golden("gate_basic"), "gate.safetensors", "--device", "cuda", "--dtype", type));
        Succeeded(Run("attend", Golden("attention_basic"), "attention.safetensors", "--device", "cuda:0", "--dtype", type));

        using SafetensorsFile expected = SafetensorsFile.Open(Golden("gate_basic")), actual = SafetensorsFile.Open(InFolder("gate.safetensors"));
        foreach (string tensor in (string[])["alpha", "u"]) AssertNear(expected, actual, tensor, gateForward);
        foreach (string tensor in (string[])["dx", "dgate_weight", "dgate_bias", "damplitude_weight"])
            AssertNear(expected, actual, tensor, gateGradient);
        using SafetensorsFile wanted = SafetensorsFile.Open(Golden("attention_basic")), got = SafetensorsFile.Open(InFolder("attention.safetensors"));
        foreach (string tensor in (string[])["o", "lse"]) AssertNear(wanted, got, tensor, forward);
        foreach (string tensor in (string[])["dq", "dk", "dv", "dalpha"]) AssertNear(wanted, got, tensor, gradient);
    }

    [Fact]
    public void A_missing_file_is_named() =>
        RefusedWithOneSentence(Run("attend", "nowhere.safetensors", "out.safetensors"), "nowhere.safetensors");

    [Fact]
    public void A_full_disk_is_one_sentence()
    {
        Assert.SkipUnless(File.Exists("/dev/full"), "Only Linux has a disk that is always full.");
        RefusedWithOneSentence(Run("attend", Golden("attention_basic"), "/dev/full"), "full");
    }

    [Fact]
    public void A_folder_that_does_not_exist_is_one_sentence() =>
        RefusedWithOneSentence(Run("attend", Golden("attention_basic"), "no/such/folder/out.safetensors"), "folder");

    private static IReadOnlyDictionary<string, string> Attention { get; } = new Dictionary<string, string> { ["kind"] = "gated_window_attention", ["window"] = "2" };

    private static string Golden(string name) => Path.Combine(AppContext.BaseDirectory, "Golden", name + ".safetensors");

    private static SafetensorsTensor Floats(string name, params int[] extents) =>
        SafetensorsTensor.Floats(name, [.. extents], Samples.Normal(extents.Aggregate(1L, (product, extent) => product * extent), seed: 1));

    private static void AssertNear(SafetensorsFile expected, SafetensorsFile actual, string tensor, double tolerance)
    {
        Assert.Equal(expected[tensor].Shape, actual[tensor].Shape);
        double error = ErrorNorm.Relative(actual.ReadFloats(tensor), expected.ReadFloats(tensor));
        Assert.True(error <= tolerance, $"{tensor}: {error}");
    }

    private void WriteAttention(string name, Action<float[]>? spoil = null, string? without = null)
    {
        float[] q = Samples.Normal(64, seed: 2);
        spoil?.Invoke(q);
        SafetensorsTensor[] tensors = [SafetensorsTensor.Floats("q", [1, 4, 2, 8], q), Floats("k", 1, 4, 2, 8), Floats("v", 1, 4, 2, 8)];
        SafetensorsWriter.Write(InFolder(name), tensors.Where(tensor => tensor.Name != without), Attention);
    }
}
