using GatedFwa.Attention;
using GatedFwa.Generation;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Testing;
using GatedFwa.Tests.Models;

namespace GatedFwa.Tests.Generation;

public sealed class TextLengthsTests() : TextLengthsSuite(TestBackend.Cpu);

public sealed class TextLengthsCudaTests() : TextLengthsSuite(TestBackend.CudaFloat32);

public sealed class TextLengthsCudaBFloat16Tests() : TextLengthsSuite(TestBackend.CudaBFloat16);

public sealed class TextLengthsCudaFloat16Tests() : TextLengthsSuite(TestBackend.CudaFloat16);

/// <summary>Texts of different lengths in one batch: each scores as it would alone.</summary>
public abstract class TextLengthsSuite(TestBackend backend) : TensorTest(backend)
{
    private const int Vocabulary = 37;

    public static TheoryData<string> Models => TinyModels.Names;

    [Theory]
    [MemberData(nameof(Models))]
    public void Prompts_of_any_lengths_are_continued_together(string name)
    {
        using LanguageModel model = TinyModels.Lively(Named(name), Backend);
        using var batch = new Batch(this, model, 5);
        batch.Advance(1, 3, 7, 20, 0); // The window is 7.
        for (int step = 0; step < 9; step++) batch.Advance(1, 1, 1, 1, 1);
        batch.Advance(4, 4, 4, 4, 4);
        batch.Advance(1, 1, 1, 1, 1);
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void Texts_end_and_others_take_their_places(string name)
    {
        using LanguageModel model = TinyModels.Lively(Named(name), Backend);
        using var batch = new Batch(this, model, 3);
        batch.Advance(6, 9, 2);
        for (int step = 0; step < 3; step++) batch.Advance(1, 1, 1);
        batch.Reset(1);
        batch.Advance(1, 0, 1);
        batch.Advance(1, 0, 1);
        batch.Advance(1, 5, 1);
        for (int step = 0; step < 4; step++) batch.Advance(1, 1, 1);
        batch.Advance(0, 0, 1);
        batch.Reset(0);
        batch.Reset(2);
        batch.Advance(1, 1, 1);
        batch.Advance(0, 0, 0);
        batch.Advance(1, 1, 0);
        batch.Advance(12, 0, 3);
        for (int step = 0; step < 3; step++) batch.Advance(1, 1, 1);
        batch.ResetAll();
        batch.Advance(3, 3, 3);
        batch.Advance(1, 1, 1);
    }

    [Theory]
    [InlineData("GatedFWA")]
    [InlineData("gated full")]
    [InlineData("native sparse")]
    public void Any_order_of_tokens_gives_the_same_scores(string name)
    {
        int rounds = Backend.Device.IsCpu ? 60 : 12; // An emulated GPU is slow.
        using LanguageModel model = TinyModels.Lively(Named(name), Backend);
        var random = new CounterRandom(17);
        using var batch = new Batch(this, model, 4);
        for (int round = 0; round < rounds; round++)
        {
            CounterRandom dice = random.Split((ulong)round);
            if (dice.Below(0, 8) == 0) batch.Reset((int)dice.Below(1, 4));
            int Length(int draw) => dice.Below(draw, 4) switch { 0 => 0, 1 => (int)dice.Below(draw + 10, 9), _ => 1 };
            batch.Advance(Length(2), Length(3), Length(4), Length(5));
        }
    }

    [Theory]
    [InlineData("gated full")]
    [InlineData("native sparse")]
    [InlineData("GatedFWA")]
    public void A_text_outgrows_its_memory_beside_a_short_one(string name)
    {
        ModelConfig config = Named(name);
        using LanguageModel model = TinyModels.Lively(config with { Window = config.Window is null ? null : 90 }, Backend);
        using var batch = new Batch(this, model, 3);
        batch.Advance(2, 63, 64);
        batch.Advance(1, 1, 0); // Memory doubles from 64 to 128, at first for one of them.
        batch.Advance(1, 1, 1);
        batch.Advance(1, 70, 2);
        batch.Advance(1, 1, 1);
    }

    [Fact]
    public void More_texts_than_a_graph_takes_are_at_places_of_their_own()
    {
        const int Texts = 65;
        using LanguageModel model = TinyModels.Lively(TinyModels.GatedFwa with { Layers = 1, Window = 4 }, Backend);
        using var batch = new Batch(this, model, Texts);
        batch.Advance([.. Enumerable.Range(0, Texts).Select(text => text < 3 ? 2 + (2 * text) : 1)]);
        batch.Advance([.. Enumerable.Range(0, Texts).Select(text => text % 3 == 2 ? 0 : 1)]); // Text 2 fills its window.
        batch.Advance([.. Enumerable.Repeat(1, Texts)]);
    }

    [Theory]
    [InlineData(20)] // In half precision products of many rows.
    [InlineData(64)]
    public void Many_texts_of_which_some_stay_advance_together(int texts)
    {
        using LanguageModel model = TinyModels.Lively(TinyModels.GatedFwa with { Layers = 2, Window = 4 }, Backend);
        using var batch = new Batch(this, model, texts);
        batch.Advance([.. Enumerable.Range(0, texts).Select(text => text < 3 ? 2 + (2 * text) : 1)]);
        for (int step = 0; step < 4; step++)
            batch.Advance([.. Enumerable.Range(0, texts).Select(text => (text + step) % 3 == 2 ? 0 : 1)]);
        batch.Advance([.. Enumerable.Repeat(1, texts)]);
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void A_text_of_a_batch_is_a_state_by_itself_in_the_same_memory(string name)
    {
        using LanguageModel model = TinyModels.Lively(Named(name), Backend);
        using DecodeState state = model.NewState(3), expected = model.NewState(3);
        int[] prompts = TinyModels.Tokens(3 * 9);
        foreach (DecodeState each in (DecodeState[])[state, expected]) Advance(model, each, prompts, 9, 4, 1);
        using DecodeState text = state.Text(1), copy = text.Clone(), alone = text.Text(0).Clone();
        Assert.Equal([4], text.Positions);
        Assert.Equal([4], copy.Positions);
        float[] one = Advance(model, expected, [5, 6, 7], 0, 1, 0)[Vocabulary..(2 * Vocabulary)];
        foreach (DecodeState each in (DecodeState[])[copy, alone])
            Assert.InRange(ErrorNorm.Relative(Advance(model, each, [6], 1), one), 0, Tolerance);
        Assert.Equal([4], text.Positions);

        text.Dispose();
        // Whatever was freed by that, others take and fill.
        using DecodeState other = model.NewState(1), others = model.NewState(3);
        Advance(model, other, [7, 7, 7, 7, 7, 7, 7, 7], 8);
        Advance(model, others, [.. Enumerable.Repeat(7, 3 * 8)], 8, 8, 8);
        Assert.Equal(one, Advance(model, state, [5, 6, 7], 0, 1, 0)[Vocabulary..(2 * Vocabulary)]);
        Assert.Equal(Advance(model, expected, [8, 9, 3], 1, 1, 1), Advance(model, state, [8, 9, 3], 1, 1, 1));

        state.Text(1).Reset();
        expected.Reset(1);
        Assert.Equal([10, 0, 2], state.Positions);
        Assert.Equal(Advance(model, expected, [8, 9, 3], 1, 1, 1), Advance(model, state, [8, 9, 3], 1, 1, 1));
        state.Text(2).Reset(0);
        expected.Reset(2);
        Assert.Equal([11, 1, 0], state.Positions);
        Assert.Equal(Advance(model, expected, [8, 9, 3], 1, 1, 1), Advance(model, state, [8, 9, 3], 1, 1, 1));
    }

    [Fact]
    public void Positions_go_along_and_cannot_be_written()
    {
        using LanguageModel model = TinyModels.Lively(TinyModels.GatedFwa, Backend);
        using DecodeState state = model.NewState(2);
        IReadOnlyList<long> positions = state.Positions;
        Advance(model, state, [1, 2, 3, 4], 2, 1);
        Assert.Equal([2, 1], positions);
        foreach (DecodeState each in (DecodeState[])[state, state.Text(1)])
            Assert.Throws<NotSupportedException>(() => Assert.IsAssignableFrom<IList<long>>(each.Positions)[0] = 7);
    }

    [Fact]
    public void A_text_in_the_millions_stands_beside_one_that_has_just_begun()
    {
        using LanguageModel model = TinyModels.Lively(TinyModels.GatedFwa, Backend);
        using var batch = new Batch(this, model, 3);
        batch.Jump(1_000_000, text: 1); // An empty window, far out: only differences of positions matter.
        batch.Jump(3_000_000_000, text: 2);
        batch.Advance(1, 9, 2);
        for (int step = 0; step < 6; step++) batch.Advance(1, 1, 1);
        batch.Advance(3, 3, 3);
        batch.Advance(1, 0, 1);
        Assert.Equal([11, 1_000_018, 3_000_000_012], batch.State.Positions);
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void Texts_that_stay_and_clones_keep_their_bits(string name)
    {
        using LanguageModel model = TinyModels.Lively(Named(name), Backend);
        int[] prompts = TinyModels.Tokens(3 * 9), tokens = TinyModels.Tokens(9, seed: 5);
        using DecodeState state = model.NewState(3);
        Advance(model, state, prompts, 9, 4, 1);
        for (int step = 0; step < 3; step++) Advance(model, state, tokens[..3], 1, 1, 1);
        using DecodeState clone = state.Clone();
        Assert.Equal([12, 7, 4], clone.Positions);

        // One after the other in the clone, in the same kernels.
        float[] together = Advance(model, state, tokens[3..6], 1, 1, 1);
        float[] two = Advance(model, clone, tokens[3..6], 1, 0, 1);
        float[] one = Advance(model, clone, tokens[3..6], 0, 1, 0);
        Assert.Equal(new float[Vocabulary], two[Vocabulary..(2 * Vocabulary)]);
        float[] apart = [.. two[..Vocabulary], .. one[Vocabulary..(2 * Vocabulary)], .. two[(2 * Vocabulary)..]];
        Assert.InRange(ErrorNorm.Relative(apart, together), 0, Tolerance);
        Assert.Equal(state.Positions, clone.Positions);
        if (!Backend.Device.IsCpu && DecodeStep.Serves(model, 3)) Assert.Equal(together, apart);

        // And both go on alike.
        float[] onward = Advance(model, state, tokens[6..], 1, 1, 1);
        Assert.InRange(ErrorNorm.Relative(Advance(model, clone, tokens[6..], 1, 1, 1), onward), 0, Tolerance);
        if (!Backend.Device.IsCpu && DecodeStep.Serves(model, 3))
        {
            Advance(model, clone, tokens[..3], 0, 1, 0);
            Advance(model, state, tokens[..3], 0, 1, 0);
            Assert.Equal(Advance(model, state, tokens[6..], 1, 1, 1), Advance(model, clone, tokens[6..], 1, 1, 1));
        }
    }

    [Theory]
    [InlineData("GatedFWA")]
    [InlineData("full softmax")]
    [InlineData("native sparse")]
    public void Scores_of_every_token_and_losses_go_on_from_texts_of_any_lengths(string name)
    {
        const int Next = 4;
        using LanguageModel model = TinyModels.Lively(Named(name), Backend);
        var reference = new ReferenceModel(model);
        int[][] texts = [TinyModels.Tokens(3 + Next + 1), TinyModels.Tokens(11 + Next + 1, seed: 8)];
        int[] lengths = [3, 11];
        using DecodeState state = model.NewState(2), other = model.NewState(2);
        int[] prompts = [.. texts[0][..3], .. new int[8], .. texts[1][..11]];
        Advance(model, state, prompts, lengths);
        Advance(model, other, prompts, lengths);

        int[] Part(int shift) => [.. texts.SelectMany((text, i) => text[(lengths[i] + shift)..(lengths[i] + shift + Next)])];
        using var tape = new Tape(recording: false);
        Tensor tokens = tape.Own(Tensor.From(Part(0), [2, Next], Backend.Device));
        Tensor targets = tape.Own(Tensor.From(Part(1), [2, Next], Backend.Device));
        float[] logits = model.Logits(tape, tokens, state: state).ToArray();
        double[] expected = [.. texts.SelectMany((text, i) => reference.Logits(text[..^1])[lengths[i]..].SelectMany(scores => scores))];
        Assert.InRange(ErrorNorm.Relative(logits, expected), 0, Tolerance);

        double loss = model.Loss(tape, tokens, targets, state: other).Item(), expectedLoss = 0;
        int[] next = Part(1);
        for (int i = 0; i < next.Length; i++)
        {
            double[] scores = expected[(i * Vocabulary)..((i + 1) * Vocabulary)];
            expectedLoss += Math.Log(scores.Sum(Math.Exp)) - scores[next[i]];
        }

        Assert.Equal(expectedLoss / next.Length, loss, Tolerance);
        Assert.Equal([7, 15], state.Positions);
    }

    [Fact]
    public void What_follows_a_row_s_last_token_is_not_read()
    {
        using LanguageModel model = TinyModels.Lively(TinyModels.GatedFwa, Backend);
        using DecodeState state = model.NewState(3), other = model.NewState(3);
        float[] padded = Advance(model, state, [5, -1, 9, 6, 7, 8, 99, -7, 4], 1, 3, 0);
        Assert.Equal(Advance(model, other, [5, 0, 0, 6, 7, 8, 0, 0, 0], 1, 3, 0), padded);
        Assert.Equal(Advance(model, other, [5, 6, 0], 1, 1, 0), Advance(model, state, [5, 6, -1], 1, 1, 0));
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void Tokens_that_lie_on_the_device_are_padded_with_anything(string name)
    {
        using LanguageModel model = TinyModels.Lively(Named(name), Backend);
        using DecodeState state = model.NewState(3), expected = model.NewState(3);
        void Same(int[] tokens, params int[] lengths)
        {
            int[] padded = [.. tokens];
            int most = tokens.Length / 3;
            for (int text = 0; text < 3; text++) padded.AsSpan((text * most) + lengths[text], most - lengths[text]).Fill(-5);
            using var tape = new Tape(recording: false);
            Tensor there = tape.Own(Tensor.From(padded, [3, most], Backend.Device));
            float[] scores = model.Advance(tape, state, there, lengths).ToArray();
            Assert.DoesNotContain(scores, float.IsNaN);
            Assert.Equal(Advance(model, expected, tokens, lengths), scores);
        }

        Same(TinyModels.Tokens(3 * 9), 9, 1, 4); // The first window, of 7, is full.
        Same([5, 6, 7], 0, 1, 1);
        Same([5, 6, 7], 0, 1, 0);
        Same([5, 6, 7], 1, 1, 1);
        Same(TinyModels.Tokens(3 * 4, seed: 3), 0, 1, 1);
        Same(TinyModels.Tokens(3 * 4, seed: 4), 4, 3, 0);
        for (int step = 0; step < 3; step++) Same([1, 2, 3], 1, 1, 1);
    }

    [Fact]
    public void What_is_no_length_or_no_token_is_refused_and_leaves_all_texts_as_they_were()
    {
        using LanguageModel model = TinyModels.Lively(TinyModels.GatedFwa, Backend);
        using DecodeState state = model.NewState(2), untouched = model.NewState(2);
        Advance(model, state, [1, 2, 3, 4], 2, 1);
        Advance(model, untouched, [1, 2, 3, 4], 2, 1);
        using var tape = new Tape(recording: false);
        Tensor tokens = tape.Own(Tensor.From([1, 2, 3, 4], [2, 2]));
        foreach (int[] lengths in (int[][])[[], [1], [1, 1, 1], [-1, 1], [1, 3]])
        {
            var refusal = Assert.Throws<OperandException>(() => model.Advance(tape, state, tokens, lengths));
            Assert.Contains("2 lengths in 0 … 2", refusal.Message);
        }

        Tensor unknown = tape.Own(Tensor.From([1, 2, 3, Vocabulary], [2, 2])), wider = tape.Own(Tensor.From([1, 2, 3], [3, 1]));
        Assert.Throws<OperandException>(() => model.Advance(tape, state, unknown, [1, 2]));
        Assert.Throws<OperandException>(() => model.Advance(tape, state, unknown));
        Assert.Throws<OperandException>(() => model.Logits(tape, unknown, state: state));
        Assert.Throws<OperandException>(() => model.Advance(tape, state, wider, [1, 0, 1]));
        using var recording = new Tape();
        Assert.Throws<OperandException>(() => model.Advance(recording, state, tokens, [1, 2]));
        Assert.Throws<ArgumentOutOfRangeException>(() => state.Reset(2));
        Assert.Throws<ArgumentOutOfRangeException>(() => state.Reset(-1));
        Assert.Equal([2, 1], state.Positions);
        Assert.Equal(Advance(model, untouched, [5, 6], 1, 1), Advance(model, state, [5, 6], 1, 1));
    }

    /// <summary>As in <see cref="DecodeSuite"/>.</summary>
    private double Tolerance => Backend.Activations == DType.F32 ? 3e-6 : 6e-2;

    private static float[] Advance(LanguageModel model, DecodeState state, int[] tokens, params int[] lengths) =>
        Advance(model, state, tokens, Device.Cpu, lengths);

    private static float[] Advance(LanguageModel model, DecodeState state, int[] tokens, Device device, int[] lengths)
    {
        using var tape = new Tape(recording: false);
        Tensor input = tape.Own(Tensor.From(tokens, [state.Batch, tokens.Length / state.Batch], device));
        return model.Advance(tape, state, input, lengths).ToArray();
    }

    /// <summary>As in <see cref="DecodeSuite"/>.</summary>
    private ModelConfig Named(string name)
    {
        ModelConfig config = TinyModels.All[name];
        if (Backend.Activations == DType.F32 || config.NativeSparse is not { } sparse) return config;
        return config with { NativeSparse = sparse with { BlockCount = Math.Min(BestBlocks.Forced, sparse.BlockCount) } };
    }

    /// <summary>A batch whose every row of scores is held to the reference, which reads the row's text alone and all at once.</summary>
    private sealed class Batch(TextLengthsSuite suite, LanguageModel model, int texts) : IDisposable
    {
        private readonly ReferenceModel _reference = new(model);
        private readonly List<int>[] _texts = [.. Enumerable.Range(0, texts).Select(_ => new List<int>())];
        private readonly long[] _jumps = new long[texts];
        private int _round;

        public DecodeState State { get; } = model.NewState(texts);

        /// <summary>Feeds so many tokens to each text, padded with what is no token, and judges the scores.</summary>
        public void Advance(params int[] lengths)
        {
            int most = Math.Max(1, lengths.Max());
            int[] drawn = TinyModels.Tokens(texts * most, seed: (ulong)++_round), tokens = [.. Enumerable.Repeat(-1, drawn.Length)];
            for (int text = 0; text < texts; text++)
            {
                int[] fed = drawn[(text * most)..((text * most) + lengths[text])];
                fed.CopyTo(tokens, text * most);
                _texts[text].AddRange(fed);
            }

            // On a GPU nobody looks at the padding, which gives rows of NaN on the way.
            Device device = _round % 2 == 0 ? model.Device : Device.Cpu;
            float[][] scores = [.. TextLengthsSuite.Advance(model, State, tokens, device, lengths).Chunk(Vocabulary)];
            for (int text = 0; text < texts; text++)
            {
                Assert.Equal(_texts[text].Count + _jumps[text], State.Positions[text]);
                if (lengths[text] == 0) Assert.Equal(new float[Vocabulary], scores[text]);
                else ErrorNorm.Require(scores[text], _reference.Logits([.. _texts[text]])[^1], suite.Tolerance);
            }
        }

        public void Dispose() => State.Dispose();

        public void Reset(int text)
        {
            State.Reset(text);
            _texts[text].Clear();
        }

        public void ResetAll()
        {
            State.Reset();
            foreach (List<int> text in _texts) text.Clear();
        }

        public void Jump(long positions, int text)
        {
            State.MoveOn(positions, [.. Enumerable.Range(0, texts).Select(other => other != text)]);
            _jumps[text] += positions;
        }
    }
}
