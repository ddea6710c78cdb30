using GatedFwa.Attention;
using GatedFwa.Generation;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Memory;
using GatedFwa.Testing;
using GatedFwa.Tests.Models;

namespace GatedFwa.Tests.Generation;

public sealed class DecodeTests() : DecodeSuite(TestBackend.Cpu)
{
    [Fact]
    public void Far_into_a_text_the_scores_still_follow_the_window_and_memory_has_not_grown()
    {
        // With one layer the scores depend on the last W tokens and the one before them (its shift) alone, and on relative positions
        // only: the reference need not read the whole text.
        const int Window = 16, Far = 20_000;
        using LanguageModel model = Lively(TinyModels.GatedFwa with { Layers = 1, Window = Window });
        int[] text = TinyModels.Tokens(Far);
        // How many blocks of scratch are out at once depends on how threads meet: with one, memory is the text's alone.
        using var single = new SingleThread();
        using DecodeState state = model.NewState();
        Advance(model, state, text[..100]);
        Advance(model, state, text[100]); // A step has scratch of its own, which no earlier test need have taken.
        MemoryStatistics before = DeviceMemory.Statistics(Device.Cpu);
        long stateBytes = state.Bytes;
        var scores = new float[Vocabulary];
        for (int position = 101; position < Far; position++) scores = Advance(model, state, text[position]);

        Assert.Equal(stateBytes, state.Bytes);
        Assert.Equal(before.LiveBytes, DeviceMemory.Statistics(Device.Cpu).LiveBytes);
        Assert.Equal(before.ReservedBytes, DeviceMemory.Statistics(Device.Cpu).ReservedBytes);
        double[] expected = new ReferenceModel(model).Logits(text[^40..])[^1];
        Assert.InRange(ErrorNorm.Relative(scores, expected), 0, Tolerance(3e-6));
    }

    [Fact]
    public void Objects_made_for_a_token_do_not_depend_on_how_far_the_text_has_come()
    {
        using LanguageModel model = Lively(TinyModels.GatedFwa);
        using DecodeState state = model.NewState();
        using Tensor token = Tensor.From([5], [1, 1]);
        long BytesPerToken()
        {
            const int Tokens = 200;
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < Tokens; i++)
            {
                using var tape = new Tape(recording: false);
                model.Advance(tape, state, token);
            }

            return (GC.GetAllocatedBytesForCurrentThread() - before) / Tokens;
        }

        BytesPerToken();
        long early = BytesPerToken();
        for (int i = 0; i < 10; i++) BytesPerToken();
        Assert.InRange(BytesPerToken(), 0, early + 64);
        Assert.InRange(early, 0, 40_000);
    }

    [Fact]
    public void What_cannot_continue_a_text_is_refused_and_leaves_it_as_it_was()
    {
        using LanguageModel model = Lively(TinyModels.GatedFwa);
        using LanguageModel other = Lively(TinyModels.GatedFwa with { Window = 9 });
        using DecodeState state = model.NewState(), pair = model.NewState(2), untouched = model.NewState();
        using var tape = new Tape(recording: false);
        using var recording = new Tape();
        Tensor tokens = tape.Own(Tensor.From([1, 2], [1, 2])), unknown = tape.Own(Tensor.From([1, Vocabulary], [1, 2]));
        Assert.Throws<OperandException>(() => other.Advance(tape, state, tokens));
        Assert.Throws<OperandException>(() => model.Advance(tape, pair, tokens));
        Assert.Throws<OperandException>(() => model.Advance(recording, state, tokens));
        Assert.Throws<OperandException>(() => model.Advance(tape, state, unknown));
        Assert.Throws<OperandException>(() => model.Loss(tape, tokens, tokens, SequenceLayout.Packed([0, 2]), state: state));
        Assert.Throws<ArgumentOutOfRangeException>(() => model.NewState(0));
        Assert.Equal(0, state.Positions[0]);
        Assert.Equal(Advance(model, untouched, 3, 4, 5), Advance(model, state, 3, 4, 5));
    }
}

public sealed class DecodeCudaTests() : DecodeSuite(TestBackend.CudaFloat32);

public sealed class DecodeCudaBFloat16Tests() : DecodeSuite(TestBackend.CudaBFloat16)
{
    [Theory]
    [MemberData(nameof(Models))]
    public void Token_by_token_is_as_exact_as_one_pass_of_the_same_precision(string name)
    {
        using LanguageModel model = Lively(Named(name));
        int[] tokens = TinyModels.Tokens(Length);
        double[] expected = [.. new ReferenceModel(model).Logits(tokens).SelectMany(scores => scores)];
        using DecodeState state = model.NewState();
        float[] stepwise = [.. tokens.SelectMany(token => Advance(model, state, token))];
        using var tape = new Tape(recording: false);
        float[] atOnce = model.Logits(tape, tape.Own(Tensor.From(tokens, [1, Length], Backend.Device))).ToArray();
        // Other roundings, but as many.
        Assert.InRange(ErrorNorm.Relative(stepwise, expected), 0, 1.5 * ErrorNorm.Relative(atOnce, expected));
    }
}

public abstract class DecodeSuite(TestBackend backend) : TensorTest(backend)
{
    protected const int Length = 45, Vocabulary = 37;

    public static TheoryData<string> Models => TinyModels.Names;

    /// <summary>Feeds tokens [B, T] and gives the scores [B, V] after the last.</summary>
    private protected float[] Advance(LanguageModel model, DecodeState state, params int[] tokens)
    {
        using var tape = new Tape(recording: false);
        Tensor input = tape.Own(Tensor.From(tokens, [state.Batch, tokens.Length / state.Batch], Backend.Device));
        return model.Advance(tape, state, input).ToArray();
    }

    /// <summary>In 16 bits a model of two layers rounds some twenty times on its way, each time by up to 2⁻⁹; single positions, whose scores
    /// are small, show it most.</summary>
    private protected double Tolerance(double float32) => Backend.Activations == DType.F32 ? float32 : 6e-2;

    private protected LanguageModel Lively(ModelConfig config) => TinyModels.Lively(config, Backend);

    /// <summary>A model by name. In 16 bits two blocks that are nearly as good may change places, and another block is another result:
    /// there native sparse attention chooses only those that come before all others.</summary>
    private protected ModelConfig Named(string name)
    {
        ModelConfig config = TinyModels.All[name];
        if (Backend.Activations == DType.F32 || config.NativeSparse is not { } sparse) return config;
        return config with { NativeSparse = sparse with { BlockCount = Math.Min(BestBlocks.Forced, sparse.BlockCount) } };
    }

    /// <summary>Columns [from, to) of B rows.</summary>
    private static int[] Columns(int[] rows, int batch, int from, int to) =>
        [.. rows.Chunk(rows.Length / batch).SelectMany(row => row[from..to])];

    private static double[] ScoresAfter(ReferenceModel reference, int[] rows, int batch, int position) =>
        [.. rows.Chunk(rows.Length / batch).SelectMany(row => reference.Logits(row[..(position + 1)])[position])];

    [Theory]
    [MemberData(nameof(Models))]
    public void Token_by_token_gives_what_one_pass_over_everything_gives(string name)
    {
        using LanguageModel model = Lively(Named(name));
        int[] tokens = TinyModels.Tokens(Length);
        double[][] expected = new ReferenceModel(model).Logits(tokens);
        using DecodeState state = model.NewState();
        for (int position = 0; position < Length; position++)
        {
            Assert.Equal(position, state.Positions[0]);
            Assert.InRange(ErrorNorm.Relative(Advance(model, state, tokens[position]), expected[position]), 0, Tolerance(3e-6));
        }
    }

    [Theory]
    [InlineData("GatedFWA", new[] { 45 })]
    [InlineData("GatedFWA", new[] { 1, 44 })]
    [InlineData("GatedFWA", new[] { 2, 2, 1, 1, 3, 5, 8, 13, 1, 9 })]
    [InlineData("GatedFWA", new[] { 6, 7, 8, 7, 1, 1, 15 })]
    [InlineData("GatedFWA", new[] { 30, 1, 1, 1, 12 })]
    [InlineData("sliding window", new[] { 3, 1, 10, 1, 30 })]
    [InlineData("gated full", new[] { 20, 1, 1, 3, 20 })]
    [InlineData("full softmax", new[] { 1, 1, 40, 1, 2 })]
    [InlineData("one key head", new[] { 5, 1, 30, 1, 8 })]
    [InlineData("a key head for each", new[] { 15, 1, 1, 16, 12 })]
    [InlineData("no token shift", new[] { 11, 1, 33 })]
    [InlineData("bare", new[] { 11, 1, 33 })]
    [InlineData("native sparse", new[] { 45 })]
    [InlineData("native sparse", new[] { 1, 44 })]
    [InlineData("native sparse", new[] { 3, 1, 1, 3, 8, 1, 20, 1, 1, 6 })]
    [InlineData("native sparse, bare", new[] { 2, 2, 1, 12, 1, 1, 1, 1, 1, 20, 3 })]
    public void Any_split_of_a_text_gives_the_same_scores(string name, int[] split)
    {
        const int Batch = 2;
        using LanguageModel model = Lively(Named(name));
        var reference = new ReferenceModel(model);
        int[] rows = TinyModels.Tokens(Batch * Length);
        using DecodeState state = model.NewState(Batch);
        int fed = 0;
        foreach (int piece in split)
        {
            float[] scores = Advance(model, state, Columns(rows, Batch, fed, fed + piece));
            fed += piece;
            Assert.InRange(ErrorNorm.Relative(scores, ScoresAfter(reference, rows, Batch, fed - 1)), 0, Tolerance(3e-6));
        }

        Assert.Equal(Length, state.Positions[0]);
    }

    [Theory]
    [InlineData("native sparse")]
    [InlineData("native sparse, bare")]
    [InlineData("gated full")]
    public void A_text_that_outgrows_its_memory_is_kept(string name)
    {
        const int Batch = 2, Long = 150;
        using LanguageModel model = Lively(Named(name));
        var reference = new ReferenceModel(model);
        int[] rows = TinyModels.Tokens(Batch * Long);
        using DecodeState state = model.NewState(Batch);
        int fed = 0;
        foreach (int piece in (int[])[63, 1, 1, 62, 1, 1, 20, 1]) // Memory doubles from 64 to 128 to 256, token by token.
        {
            float[] scores = Advance(model, state, Columns(rows, Batch, fed, fed + piece));
            fed += piece;
            Assert.InRange(ErrorNorm.Relative(scores, ScoresAfter(reference, rows, Batch, fed - 1)), 0, Tolerance(3e-6));
        }

        Assert.Equal(Long, fed);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(8)]
    [InlineData(44)]
    [InlineData(100)]
    public void Any_window_decodes_as_it_is_trained(int window)
    {
        using LanguageModel model = Lively(TinyModels.GatedFwa with { Window = window });
        var reference = new ReferenceModel(model);
        int[] tokens = TinyModels.Tokens(Length);
        double[][] expected = reference.Logits(tokens);
        using DecodeState state = model.NewState();
        Advance(model, state, tokens[..20]);
        for (int position = 20; position < Length; position++)
            Assert.InRange(ErrorNorm.Relative(Advance(model, state, tokens[position]), expected[position]), 0, Tolerance(3e-6));
    }

    [Theory]
    [InlineData("GatedFWA", 1)]
    [InlineData("GatedFWA", 10)]
    [InlineData("sliding window", 16)]
    [InlineData("gated full", 17)]
    [InlineData("full softmax", 45)]
    public void A_long_document_in_pieces_costs_what_it_costs_at_once(string name, int piece)
    {
        using LanguageModel model = Lively(Named(name));
        int[] text = TinyModels.Tokens(Length + 1);
        double expected = new ReferenceModel(model).Loss(text[..^1], text[1..]);
        using DecodeState state = model.NewState();
        double nats = 0;
        for (int first = 0; first < Length; first += piece)
        {
            int count = Math.Min(piece, Length - first);
            using var tape = new Tape(recording: false);
            Tensor tokens = tape.Own(Tensor.From(text.AsSpan(first, count), [1, count], Backend.Device));
            Tensor targets = tape.Own(Tensor.From(text.AsSpan(first + 1, count), [1, count], Backend.Device));
            nats += count * model.Loss(tape, tokens, targets, state: state).Item();
        }

        Assert.Equal(expected, nats / Length, Tolerance(1e-5));
    }

    [Theory]
    [InlineData(1_000_000)]
    [InlineData(3_000_000_000)]
    public void Position_a_million_is_as_exact_as_position_0(long position)
    {
        using LanguageModel model = Lively(TinyModels.GatedFwa);
        int[] tokens = TinyModels.Tokens(Length);
        double[][] expected = new ReferenceModel(model).Logits(tokens);
        using DecodeState state = model.NewState();
        state.MoveOn(position); // an empty window, far out: only rotary angles know of it, and only their differences matter
        Assert.InRange(ErrorNorm.Relative(Advance(model, state, tokens[..20]), expected[19]), 0, Tolerance(3e-6));
        for (int i = 20; i < Length; i++) Assert.InRange(ErrorNorm.Relative(Advance(model, state, tokens[i]), expected[i]), 0, Tolerance(3e-6));
    }

    [Fact]
    public void Only_models_that_look_beyond_a_window_grow_and_say_so()
    {
        using LanguageModel windowed = Lively(TinyModels.GatedFwa), full = Lively(TinyModels.All["full softmax"]);
        using LanguageModel sparse = Lively(Named("native sparse"));
        using DecodeState bounded = windowed.NewState(), growing = full.NewState(), remembering = sparse.NewState();
        Assert.False(bounded.GrowsWithText);
        Assert.True(growing.GrowsWithText);
        Assert.True(remembering.GrowsWithText);
        Advance(windowed, bounded, TinyModels.Tokens(10));
        Advance(full, growing, TinyModels.Tokens(10));
        Advance(sparse, remembering, TinyModels.Tokens(10));
        (long boundedBytes, long growingBytes, long rememberingBytes) = (bounded.Bytes, growing.Bytes, remembering.Bytes);
        Advance(windowed, bounded, TinyModels.Tokens(200));
        Advance(full, growing, TinyModels.Tokens(200));
        Advance(sparse, remembering, TinyModels.Tokens(200));
        Assert.Equal(boundedBytes, bounded.Bytes);
        Assert.True(growing.Bytes > growingBytes);

        // Keys and values of 210 tokens in a layer, and of the 105 means; before it there was room for 64 and 32.
        int token = 2 * sparse.Config.KeyHeads * sparse.Config.HeadSize * sparse.Activations.Bytes();
        long grown = (remembering.Bytes - rememberingBytes) / sparse.Config.Layers / token;
        Assert.Equal(210 - 64 + 105 - 32, grown);
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void A_clone_continues_by_itself_and_a_reset_begins_anew(string name)
    {
        using LanguageModel model = Lively(Named(name));
        int[] text = TinyModels.Tokens(30);
        using DecodeState state = model.NewState();
        float[] first = Advance(model, state, text[..20]);
        using DecodeState clone = state.Clone();
        float[] onward = Advance(model, state, text[20..]);
        Assert.Equal(20, clone.Positions[0]);
        Assert.Equal(onward, Advance(model, clone, text[20..]));

        state.Reset();
        Assert.Equal(0, state.Positions[0]);
        Assert.Equal(first, Advance(model, state, text[..20]));
    }
}
