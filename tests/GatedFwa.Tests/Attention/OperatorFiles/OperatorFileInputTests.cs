using GatedFwa.Attention;
using GatedFwa.Checkpoints;
using GatedFwa.Tensors;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Attention.OperatorFiles;

/// <summary>What a file for <see cref="OperatorFile"/> can get wrong, one mistake at a time.</summary>
public sealed class OperatorFileInputTests : TensorTest
{
    private readonly TemporaryFolder _folder = new();
    private readonly Dictionary<string, string> _metadata = new() { ["kind"] = "gated_window_attention", ["window"] = "3", ["scale"] = "0.5" };

    // B 1, T 4, S 5, H 2, Hkv 1, D 8.
    private readonly Dictionary<string, SafetensorsTensor> _attention = Named(
        Floats("q", 1, 4, 2, 8), Floats("k", 1, 5, 1, 8), Floats("v", 1, 5, 1, 8), Floats("alpha", 1, 5, 2), Floats("do", 1, 4, 2, 8));

    private readonly Dictionary<string, SafetensorsTensor> _gate = Named(
        Floats("x", 1, 4, 8), Floats("gate_weight", 2, 8), Floats("gate_bias", 2), Floats("amplitude_weight", 2, 8), Floats("dalpha", 1, 4, 2));

    [Theory]
    [InlineData("q")]
    [InlineData("k")]
    [InlineData("v")]
    public void A_missing_tensor_is_named(string name)
    {
        _attention.Remove(name);
        Refused(_attention, $"has no tensor \"{name}\"");
    }

    [Theory]
    [InlineData("q", new[] { 4, 2, 8 }, "[B, T, H, D] is expected")]
    [InlineData("q", new[] { 1, 0, 2, 8 }, "each at least 1")]
    [InlineData("q", new[] { 1, 4, 2, 12 }, "a head size that is a multiple of 8 up to 256")]
    [InlineData("q", new[] { 1, 4, 2, 264 }, "a head size that is a multiple of 8 up to 256")]
    [InlineData("k", new[] { 1, 5, 1 }, "[B, S, Hkv, D] is expected")]
    [InlineData("k", new[] { 1, 3, 1, 8 }, "[1, 4 or more, Hkv, 8] is expected")]
    [InlineData("k", new[] { 2, 5, 1, 8 }, "[1, 4 or more, Hkv, 8] is expected")]
    [InlineData("k", new[] { 1, 5, 1, 16 }, "[1, 4 or more, Hkv, 8] is expected")]
    [InlineData("k", new[] { 1, 5, 3, 8 }, "a number of key heads that divides the 2 query heads")]
    [InlineData("v", new[] { 1, 6, 1, 8 }, "the other tensors ask for [1, 5, 1, 8]")]
    [InlineData("alpha", new[] { 1, 4, 2 }, "the other tensors ask for [1, 5, 2]")]
    public void A_wrong_shape_names_the_tensor_and_what_is_expected(string name, int[] shape, string part)
    {
        _attention[name] = Floats(name, shape);
        Refused(_attention, $"Tensor \"{name}\" of", $"has the shape {Shape.Create(shape)}", part);
    }

    [Theory]
    [InlineData(float.NaN, "holds NaN at index 3; give finite numbers")]
    [InlineData(float.NegativeInfinity, "holds -Infinity at index 3; give finite numbers")]
    [InlineData(-0.5f, "holds -0.5 at index 3; give numbers of at least 0")]
    public void A_number_that_cannot_be_is_found(float value, string part)
    {
        var values = new float[10];
        values[3] = value;
        _attention["alpha"] = SafetensorsTensor.Floats("alpha", [1, 5, 2], values);
        Refused(_attention, "\"alpha\"", part);
    }

    [Fact]
    public void A_wrong_type_is_named()
    {
        _attention["v"] = SafetensorsTensor.Integers("v", [1, 5, 1, 8], new int[40]);
        Refused(_attention, "Tensor \"v\" of", "holds I32 where F32, F16, BF16 or F64 is expected");
    }

    [Fact]
    public void A_misspelt_gate_is_not_silently_left_out()
    {
        _attention.Remove("alpha");
        _attention["alpah"] = Floats("alpah", 1, 5, 2);
        Refused(_attention, "the unknown tensor \"alpah\" (did you mean \"alpha\"?)");
    }

    [Theory]
    [InlineData(new[] { 0 })]
    [InlineData(new[] { 1, 5 })]
    [InlineData(new[] { 0, 4 })]
    [InlineData(new[] { 0, 6, 5 })]
    [InlineData(new[] { 0, 3, 2, 5 })]
    public void Documents_that_do_not_rise_from_the_first_position_to_the_last_are_refused(int[] offsets)
    {
        _attention["cu_seqlens"] = SafetensorsTensor.Integers("cu_seqlens", [offsets.Length], offsets);
        Refused(_attention, "\"cu_seqlens\"", "does not rise from 0 to the number of positions, 5");
    }

    [Theory]
    [InlineData("window", "0", "a whole number of at least 1")]
    [InlineData("window", "wide", "a whole number of at least 1")]
    [InlineData("window", "1e9", "a whole number of at least 1")]
    [InlineData("scale", "NaN", "a finite number")]
    [InlineData("scale", "1/8", "a finite number")]
    [InlineData("kind", "forgetting", "is of the kind \"forgetting\", which is not known here")]
    public void Impossible_metadata_is_refused(string key, string value, string part)
    {
        _metadata[key] = value;
        Refused(_attention, part);
    }

    [Fact]
    public void An_impossible_setting_is_refused()
    {
        Assert.Contains("The window is 0 where", Refused(_attention, new OperatorSettings { Window = 0 }), StringComparison.Ordinal);
        Assert.Contains(
            "The scale is Infinity where",
            Refused(_attention, new OperatorSettings { Scale = float.PositiveInfinity }),
            StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_without_a_kind_says_which_there_are()
    {
        _metadata.Remove("kind");
        Refused(_attention, "has no metadata \"kind\"; add gated_window_attention, native_sparse_attention or decay_gate");
    }

    [Theory]
    [InlineData("x", new[] { 4, 8 }, "[B, T, C] is expected")]
    [InlineData("gate_weight", new[] { 16 }, "[H, C] is expected")]
    [InlineData("gate_bias", new[] { 3 }, "the other tensors ask for [2]")]
    [InlineData("amplitude_weight", new[] { 2, 9 }, "the other tensors ask for [2, 8]")]
    public void A_gate_of_the_wrong_shape_is_refused(string name, int[] shape, string part)
    {
        _metadata["kind"] = "decay_gate";
        _gate[name] = Floats(name, shape);
        Refused(_gate, $"Tensor \"{name}\" of", part);
    }

    [Theory]
    [InlineData("g_cmp", new[] { 1, 4, 3 }, "the other tensors ask for [1, 4, 2]")]
    [InlineData("g_win", new[] { 1, 5, 2 }, "the other tensors ask for [1, 4, 2]")]
    [InlineData("k", new[] { 1, 3, 1, 8 }, "[1, 4 or more, Hkv, 8] is expected")]
    public void A_sparse_attention_of_the_wrong_shape_is_refused(string name, int[] shape, string part)
    {
        Dictionary<string, SafetensorsTensor> tensors = NativeSparse();
        tensors[name] = Floats(name, shape);
        Refused(tensors, $"Tensor \"{name}\" of", part);
    }

    [Fact]
    public void A_sparse_attention_without_a_gate_of_a_branch_is_refused()
    {
        Dictionary<string, SafetensorsTensor> tensors = NativeSparse();
        tensors.Remove("g_slc");
        Refused(tensors, "has no tensor \"g_slc\"");
    }

    [Theory]
    [InlineData("block_size", "0")]
    [InlineData("block_count", "many")]
    public void Impossible_blocks_are_refused(string key, string value)
    {
        Dictionary<string, SafetensorsTensor> tensors = NativeSparse();
        _metadata[key] = value;
        Refused(tensors, $"The metadata \"{key}\" of", "a whole number of at least 1");
    }

    [Fact]
    public void A_refused_input_leaves_no_output()
    {
        _attention.Remove("q");
        Write(_attention);
        Assert.Throws<InputException>(() => OperatorFile.Run(_folder["in"], _folder["out"]));
        Assert.Equal(["in"], _folder.Names);
    }

    protected override void Cleanup() => _folder.Dispose();

    private static Dictionary<string, SafetensorsTensor> Named(params SafetensorsTensor[] tensors) =>
        tensors.ToDictionary(tensor => tensor.Name);

    private static SafetensorsTensor Floats(string name, params int[] extents)
    {
        Shape shape = Shape.Create(extents);
        return SafetensorsTensor.Floats(name, shape, Samples.Uniform(shape.Count, (ulong)name.Length));
    }

    private Dictionary<string, SafetensorsTensor> NativeSparse()
    {
        _metadata["kind"] = OperatorFile.NativeSparseKind;
        foreach (string gate in (string[])["g_cmp", "g_slc", "g_win"]) _attention[gate] = Floats(gate, 1, 4, 2);
        return _attention;
    }

    private void Write(Dictionary<string, SafetensorsTensor> tensors) => SafetensorsWriter.Write(_folder["in"], tensors.Values, _metadata);

    private string Refused(Dictionary<string, SafetensorsTensor> tensors, OperatorSettings settings)
    {
        Write(tensors);
        return Assert.Throws<InputException>(() => OperatorFile.Compute(_folder["in"], settings)).Message;
    }

    private void Refused(Dictionary<string, SafetensorsTensor> tensors, params string[] parts)
    {
        string message = Refused(tensors, new OperatorSettings());
        foreach (string part in parts) Assert.Contains(part, message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', message);
    }
}
