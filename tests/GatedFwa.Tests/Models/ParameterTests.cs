using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Testing;

namespace GatedFwa.Tests.Models;

public sealed class ParameterCudaTests() : TensorTest(TestBackend.CudaFloat32)
{
    [Fact]
    public void Weights_are_those_on_the_processor()
    {
        // A matrix of more than one piece on its way, and the last of them is odd.
        ModelConfig config = TinyModels.GatedFwa with { Layers = 1, FeedForwardWidth = 100_001 };
        Dictionary<string, float[]> expected = ParameterTests.Values(config, 1);
        foreach ((string name, float[] values) in ParameterTests.Values(config, 1, Backend.Device)) Assert.Equal(expected[name], values);
    }
}

public sealed class ParameterTests : TensorTest
{
    internal static Dictionary<string, float[]> Values(ModelConfig config, ulong seed, Device device = default)
    {
        using var model = new LanguageModel(config, seed, device);
        return model.Parameters.ToDictionary(parameter => parameter.Name, parameter => parameter.Value.ToArray());
    }

    [Fact]
    public void The_plan_is_what_the_model_is_made_of()
    {
        using var model = new LanguageModel(TinyModels.GatedFwa);
        ParameterSpec[] plan = [.. ParameterPlan.Of(model.Config)];
        Assert.Equal(
            plan.Select(spec => (spec.Name, spec.Shape, spec.Decays)),
            model.Parameters.Select(parameter => (parameter.Name, parameter.Value.Shape, parameter.Decays)));
        Assert.Equal(plan.Length, plan.DistinctBy(spec => spec.Name).Count());
        Assert.Equal(plan.Sum(spec => spec.Shape.Count), model.ParameterCount);
        Assert.Contains(plan, spec => spec.Name == "layers.1.attention.query.weight");
    }

    [Fact]
    public void Options_that_are_off_have_no_parameters()
    {
        string[] names = [.. ParameterPlan.Of(TinyModels.All["bare"]).Select(spec => spec.Name)];
        Assert.DoesNotContain(
            names,
            name => name.Contains("shift") || name.Contains("attention.gate") || name.Contains("query_norm") || name.Contains("key_norm"));
        Assert.DoesNotContain(names, name => name.Contains("branch_gate"));
        Assert.Contains("head.weight", names);
    }

    [Fact]
    public void Native_sparse_attention_adds_three_gates_a_head_that_begin_half_open()
    {
        ModelConfig config = TinyModels.GatedFwa, sparse = config with { NativeSparse = new() };
        long Count(ModelConfig model) => ParameterPlan.Of(model).Sum(spec => spec.Shape.Count);
        Assert.Equal(config.Layers * 3 * config.Heads * (config.Width + 1), Count(sparse) - Count(config));
        ParameterSpec weight = ParameterPlan.Of(sparse).Single(spec => spec.Name == "layers.1.attention.branch_gate.weight");
        Assert.Equal([3 * config.Heads, config.Width], weight.Shape.ToArray());
        Assert.Equal((false, new Initialisation(0, 0.02f)), (weight.Decays, weight.Initial));
        Dictionary<string, float[]> values = Values(sparse, 1);
        Assert.All(values["layers.1.attention.branch_gate.bias"], value => Assert.Equal(0, value));
        Assert.Contains(values["layers.1.attention.branch_gate.weight"], value => value != 0);
    }

    [Fact]
    public void A_feed_forward_of_width_0_has_no_parameters()
    {
        string[] names = [.. ParameterPlan.Of(TinyModels.All["no feed-forward"]).Select(spec => spec.Name)];
        Assert.DoesNotContain(names, name => name.Contains("feed_forward"));
        Assert.Contains("layers.1.attention.output.weight", names);
    }

    [Fact]
    public void Weight_decay_spares_norms_biases_gates_and_an_untied_embedding()
    {
        bool Decays(ModelConfig config, string name) => ParameterPlan.Of(config).Single(spec => spec.Name == name).Decays;
        string[] spared =
        [
            "norm.weight", "layers.0.attention_norm.weight", "layers.0.attention.gate.bias", "layers.0.attention.gate.weight",
            "layers.0.attention.key_shift.weight",
        ];
        Assert.All(spared, name => Assert.False(Decays(TinyModels.GatedFwa, name)));
        Assert.True(Decays(TinyModels.GatedFwa, "layers.0.attention.query.weight"));
        Assert.True(Decays(TinyModels.GatedFwa, "embedding.weight"));
        Assert.False(Decays(TinyModels.All["untied"], "embedding.weight"));
        Assert.True(Decays(TinyModels.All["untied"], "head.weight"));
    }

    [Fact]
    public void Weights_begin_as_operator_md_says()
    {
        ModelConfig config = TinyModels.GatedFwa with { Width = 128, Layers = 8, GateBias = 1.5f };
        Dictionary<string, float[]> values = Values(config, 1);
        static double Deviation(float[] x) => Math.Sqrt(x.Average(value => (double)value * value));
        Assert.InRange(Deviation(values["embedding.weight"]), 0.0190, 0.0210);
        Assert.InRange(Deviation(values["layers.3.attention.query.weight"]), 0.0195, 0.0205);
        Assert.InRange(Deviation(values["layers.3.attention.output.weight"]), 0.00490, 0.00510);
        Assert.InRange(Deviation(values["layers.3.feed_forward.output.weight"]), 0.00480, 0.00520);
        Assert.InRange(Deviation(values["layers.3.attention.gate.weight"]), 0.0180, 0.0220);
        Assert.All(values["layers.3.attention.gate.bias"], value => Assert.Equal(1.5f, value));
        Assert.All(values["layers.3.attention.gate.amplitude.weight"], value => Assert.Equal(0, value));
        Assert.All(values["norm.weight"], value => Assert.Equal(1, value));
    }

    [Fact]
    public void Weights_depend_on_the_seed_and_the_name_alone()
    {
        Dictionary<string, float[]> all = Values(TinyModels.GatedFwa, 1), bare = Values(TinyModels.All["bare"], 1);
        Dictionary<string, float[]> other = Values(TinyModels.GatedFwa, 2);
        foreach (string name in bare.Keys.Intersect(all.Keys)) Assert.Equal(all[name], bare[name]);
        Assert.NotEqual(all["embedding.weight"], other["embedding.weight"]);
        Assert.NotEqual(all["layers.0.attention.query.weight"], all["layers.1.attention.query.weight"]);
        Assert.NotEqual(all["layers.0.feed_forward.gate.weight"], all["layers.0.feed_forward.value.weight"]);
    }

    [Fact]
    public void The_weights_of_a_seed_never_change_because_runs_resume_from_them()
    {
        float[] values = Values(ModelConfig.Preset("nano"), 1)["embedding.weight"];
        int[] positions = [0, 1, 8191, 8192, 20_000, 24_671];
        uint[] pinned = [1008316086, 955865339, 982370260, 3173583899, 3159884622, 3171632216];
        Assert.Equal(pinned, positions.Select(position => BitConverter.SingleToUInt32Bits(values[position])));
    }

    [Fact]
    public void Weights_do_not_depend_on_the_number_of_threads()
    {
        int before = WorkerPool.Shared.Threads;
        try
        {
            WorkerPool.Shared.Threads = 1;
            Dictionary<string, float[]> one = Values(ModelConfig.Preset("nano"), 1);
            WorkerPool.Shared.Threads = 3;
            foreach ((string name, float[] values) in Values(ModelConfig.Preset("nano"), 1)) Assert.Equal(one[name], values);
        }
        finally
        {
            WorkerPool.Shared.Threads = before;
        }
    }

    [Fact]
    public void A_loader_gets_a_model_of_the_same_shape_without_weights()
    {
        using LanguageModel model = LanguageModel.Uninitialised(TinyModels.GatedFwa);
        Assert.Equal(ParameterPlan.Of(TinyModels.GatedFwa).Select(spec => spec.Name), model.Parameters.Select(parameter => parameter.Name));
        Assert.All(model.Parameters[0].Value.ToArray(), value => Assert.True(float.IsNaN(value))); // the checked pool's filling
    }
}
