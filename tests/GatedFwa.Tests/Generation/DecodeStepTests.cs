using System.Runtime.InteropServices;
using GatedFwa.Attention;
using GatedFwa.Generation;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Cuda;
using GatedFwa.Tensors.Memory;
using GatedFwa.Testing;
using GatedFwa.Tests.Models;

namespace GatedFwa.Tests.Generation;

public sealed class DecodeStepCudaTests() : DecodeStepSuite(TestBackend.CudaFloat32);

public sealed class DecodeStepCudaBFloat16Tests() : DecodeStepSuite(TestBackend.CudaBFloat16);

public sealed class DecodeStepCudaFloat16Tests() : DecodeStepSuite(TestBackend.CudaFloat16);

/// <summary>
/// One token after the other on a GPU. A state's first step launches its kernels and later ones repeat them as a graph: a clone, whose
/// step is its first, tells what a repeated step should have given.
/// </summary>
public abstract class DecodeStepSuite(TestBackend backend) : TensorTest(backend)
{
    public static TheoryData<string> Windowed =>
        [.. TinyModels.All.Where(model => model.Value.Window is not null).Select(model => model.Key)];

    [Theory]
    [MemberData(nameof(Windowed))]
    public void A_repeated_step_gives_the_bits_of_one_that_is_launched(string name)
    {
        const int Steps = 20; // The window is passed on the way.
        using LanguageModel model = TinyModels.Lively(TinyModels.All[name], Backend);
        int[] tokens = TinyModels.Tokens(Steps);
        using DecodeState state = model.NewState();
        for (int position = 0; position < Steps; position++)
        {
            using DecodeState clone = state.Clone();
            float[] launched = Step(model, clone, tokens[position]);
            Assert.Equal(launched, Step(model, state, tokens[position]));
        }
    }

    [Fact]
    public void Two_texts_that_take_turns_do_not_disturb_each_other()
    {
        using LanguageModel model = TinyModels.Lively(TinyModels.GatedFwa, Backend);
        int[] tokens = TinyModels.Tokens(24);
        float[][] Alone(int first)
        {
            using DecodeState state = model.NewState();
            return [.. Enumerable.Range(0, 12).Select(i => Step(model, state, tokens[first + i]))];
        }

        float[][] one = Alone(0), other = Alone(12);
        using DecodeState left = model.NewState(), right = model.NewState();
        for (int i = 0; i < 12; i++)
        {
            Assert.Equal(one[i], Step(model, left, tokens[i]));
            Assert.Equal(other[i], Step(model, right, tokens[12 + i]));
        }
    }

    [Fact]
    public void After_a_prompt_a_reset_or_a_jump_a_step_goes_on_from_there()
    {
        using LanguageModel model = TinyModels.Lively(TinyModels.GatedFwa, Backend);
        int[] tokens = TinyModels.Tokens(16);
        using DecodeState state = model.NewState();
        float[] first = [], again = [];
        foreach (int token in tokens) first = Step(model, state, token);

        state.Reset();
        Step(model, state, tokens[..9]); // A prompt between steps.
        foreach (int token in tokens[9..]) again = Step(model, state, token);
        Assert.InRange(ErrorNorm.Relative(again, first), 0, Tolerance);

        using DecodeState clone = state.Clone();
        clone.MoveOn(1_000_000);
        state.MoveOn(1_000_000);
        Assert.Equal(Step(model, clone, 3), Step(model, state, 3));
    }

    [Fact]
    public void A_repeated_step_of_texts_at_different_places_gives_the_bits_of_one_that_is_launched()
    {
        int[][] lengths = [[1, 1, 1], [1, 1, 1], [1, 0, 1], [1, 0, 1], [0, 1, 0], [1, 1, 1], [3, 1, 0], [1, 1, 1], [1, 1, 1]];
        using LanguageModel model = TinyModels.Lively(TinyModels.GatedFwa, Backend);
        using DecodeState state = model.NewState(3);
        Ragged(model, state, TinyModels.Tokens(3 * 12), 12, 1, 5);
        for (int step = 0; step < lengths.Length; step++)
        {
            if (step == 5) state.Reset(1);
            int[] tokens = TinyModels.Tokens(3 * lengths[step].Max(), seed: (ulong)step);
            using DecodeState clone = state.Clone();
            float[] launched = Ragged(model, clone, tokens, lengths[step]);
            Assert.Equal(launched, Ragged(model, state, tokens, lengths[step]));
        }
    }

    [Fact]
    public void After_a_step_that_failed_on_the_way_the_GPU_is_told_again_where_texts_are()
    {
        using LanguageModel model = TinyModels.Lively(TinyModels.GatedFwa, Backend);
        using DecodeState state = model.NewState(2);
        CudaDevice device = CudaDevice.Get(Backend.Device.Index);
        using var cursors = new DecodeCursors(device, 2);
        var there = new CudaStorage(device, cursors.Positions, 2 * sizeof(long)); // Not its owner: never released.
        void MoveThere(params long[] positions) => there.CopyFromHost(MemoryMarshal.AsBytes(positions.AsSpan()), 0);
        long[] Told()
        {
            var positions = new long[2];
            cursors.Set(state, []);
            there.CopyToHost(MemoryMarshal.AsBytes(positions.AsSpan()), 0);
            return positions;
        }

        Assert.Equal([0, 0], Told());
        MoveThere(1, 1);
        Assert.Equal([0, 0], Told()); // No step has moved on since.

        KeyValueRing ring = state.Layers[0].Ring;
        cursors.MovedOn(ring.Keys.Capacity);
        ring.Cursors.MoveOn(1, ring.Keys.Capacity);
        state.MoveOn(1);
        MoveThere(41, 42);
        Assert.Equal([41, 42], Told()); // Nothing is uploaded between steps that follow one another.
    }

    [Fact]
    public void A_step_reads_the_weights_as_they_are_now()
    {
        using LanguageModel model = TinyModels.Lively(TinyModels.GatedFwa, Backend);
        using LanguageModel other = TinyModels.Lively(TinyModels.GatedFwa, Backend, seed: 2);
        foreach (Parameter parameter in other.Parameters) parameter.Value.CopyFrom([.. parameter.Value.ToArray().Select(value => -value)]);
        using DecodeState state = model.NewState();
        for (int i = 0; i < 3; i++) Step(model, state, 5);
        float[] before = Step(model, state, 5);
        for (int i = 0; i < model.Parameters.Count; i++) model.Parameters[i].Value.CopyFrom(other.Parameters[i].Value);
        state.Reset();
        using DecodeState expected = other.NewState();
        float[] after = Step(model, state, 5);
        Assert.Equal(Step(other, expected, 5), after);
        Assert.NotEqual(before, after);
    }

    [Fact]
    public void A_step_takes_no_memory_that_it_keeps()
    {
        using LanguageModel model = TinyModels.Lively(TinyModels.GatedFwa, Backend);
        using DecodeState state = model.NewState();
        for (int i = 0; i < 3; i++) Step(model, state, 5);
        MemoryStatistics before = DeviceMemory.Statistics(Backend.Device);
        for (int i = 0; i < 30; i++) Step(model, state, 5);
        MemoryStatistics after = DeviceMemory.Statistics(Backend.Device);
        Assert.Equal(before.LiveBytes, after.LiveBytes);
        Assert.Equal(before.ReservedBytes, after.ReservedBytes);
    }

    [Theory]
    [InlineData(1, 1000)]
    [InlineData(3, 80)]
    [InlineData(8, 80)]
    [InlineData(9, 80)]
    [InlineData(17, 80)]
    [InlineData(33, 1032)] // Wide enough for four tiles of columns a block.
    [InlineData(64, 80)]
    [InlineData(65, 80)]
    public void Any_number_of_texts_and_any_width_advance_together(int batch, int hidden)
    {
        const int Length = 6;
        ModelConfig config = TinyModels.GatedFwa with { Width = 40, Heads = 5, KeyHeads = 1, FeedForwardWidth = hidden, Window = 4 };
        using LanguageModel model = TinyModels.Lively(config, Backend);
        var reference = new ReferenceModel(model);
        int[][] texts = [.. Enumerable.Range(0, batch).Select(row => TinyModels.Tokens(Length, (ulong)row + 1))];
        using DecodeState state = model.NewState(batch);
        float[] scores = [];
        for (int position = 0; position < Length; position++) scores = Step(model, state, [.. texts.Select(text => text[position])]);
        double[] expected = [.. texts.SelectMany(text => reference.Logits(text)[^1])];
        ErrorNorm.Require(scores, expected, Tolerance);
    }

    [Theory]
    [InlineData(1, 4, 4)]
    [InlineData(2, 4, 1)]
    [InlineData(3, 1, 1)]
    public void A_window_is_dealt_to_several_blocks(int batch, int heads, int keyHeads)
    {
        const int Prompt = 296, Steps = 8; // From a window that is almost full to one that has begun to move.
        ModelConfig config = TinyModels.GatedFwa with { Width = 8 * heads, Heads = heads, KeyHeads = keyHeads, Window = 300 };
        using LanguageModel model = TinyModels.Lively(config, Backend);
        var reference = new ReferenceModel(model);
        int[][] texts = [.. Enumerable.Range(0, batch).Select(row => TinyModels.Tokens(Prompt + Steps, (ulong)row + 1))];
        using DecodeState state = model.NewState(batch);
        Step(model, state, [.. texts.SelectMany(text => text[..Prompt])]);
        float[] scores = [];
        for (int position = Prompt; position < Prompt + Steps; position++)
            scores = Step(model, state, [.. texts.Select(text => text[position])]);
        double[] expected = [.. texts.SelectMany(text => reference.Logits(text)[^1])];
        ErrorNorm.Require(scores, expected, Tolerance);
    }

    [Theory]
    [InlineData(1, 2, 2, 16)]
    [InlineData(20, 2, 1, 64)]
    [InlineData(45, 1, 1, 128)]
    [InlineData(140, 1, 1, 64)] // More than a tile a warp, and a ring that is no whole number of them.
    public void Many_texts_walk_their_windows_each_from_where_it_is(int window, int heads, int keyHeads, int size)
    {
        const int Texts = 17, Steps = 6;
        ModelConfig config = TinyModels.GatedFwa with { Width = heads * size, Heads = heads, KeyHeads = keyHeads, Window = window };
        using LanguageModel model = TinyModels.Lively(config, Backend);
        var reference = new ReferenceModel(model);
        int[] prompts = [.. Enumerable.Range(0, Texts).Select(row => 1 + (row * (window + 20) / Texts))];
        int longest = prompts[^1];
        int[][] texts = [.. Enumerable.Range(0, Texts).Select(row => TinyModels.Tokens(longest + Steps, (ulong)row + 1))];
        using DecodeState state = model.NewState(Texts);
        Ragged(model, state, [.. texts.SelectMany(text => text[..longest])], prompts);
        int[] lengths = [.. prompts];
        lengths[1] = 0;
        state.Reset(1);
        for (int step = 0; step < Steps; step++)
        {
            int[] fed = [.. Enumerable.Range(0, Texts).Select(row => row % 5 == 2 && step < 3 ? 0 : 1)];
            float[] scores = Ragged(model, state, [.. texts.Select((text, row) => text[lengths[row]])], fed);
            for (int row = 0; row < Texts; row++) lengths[row] += fed[row];
            if (step % 5 != 0) continue;
            int[] rows = [.. Enumerable.Range(0, Texts).Where(row => fed[row] == 1)];
            int vocabulary = scores.Length / Texts;
            double[] expected = [.. rows.SelectMany(row => reference.Logits(texts[row][..lengths[row]])[^1])];
            ErrorNorm.Require([.. rows.SelectMany(row => scores[(row * vocabulary)..((row + 1) * vocabulary)])], expected, Tolerance);
        }
    }

    /// <summary>As in <see cref="DecodeSuite"/>.</summary>
    private double Tolerance => Backend.Activations == DType.F32 ? 3e-6 : 6e-2;

    private static float[] Ragged(LanguageModel model, DecodeState state, int[] tokens, params int[] lengths)
    {
        using var tape = new Tape(recording: false);
        Tensor input = tape.Own(Tensor.From(tokens, [lengths.Length, tokens.Length / lengths.Length]));
        return model.Advance(tape, state, input, lengths).ToArray();
    }

    private float[] Step(LanguageModel model, DecodeState state, params int[] tokens)
    {
        using var tape = new Tape(recording: false);
        Tensor input = tape.Own(Tensor.From(tokens, [state.Batch, tokens.Length / state.Batch], Backend.Device));
        return model.Advance(tape, state, input).ToArray();
    }
}
