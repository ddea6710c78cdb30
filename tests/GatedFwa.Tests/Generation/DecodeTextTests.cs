using GatedFwa.Generation;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Cuda;
using GatedFwa.Testing;
using GatedFwa.Tests.Models;

namespace GatedFwa.Tests.Generation;

/// <summary>
/// One text in one launch. A batch that holds the text twice goes through a layer's kernels, which have tests of their own, and tells what
/// the scores should be.
/// </summary>
public sealed class DecodeTextCudaBFloat16Tests() : TensorTest(TestBackend.CudaBFloat16)
{
    private const int Steps = 6;
    private const double Tolerance = 3e-2; // Both round as often, each in its own places.

    [Theory]
    [InlineData(2, 300, 296, 1, 1, 64)] // Two parts of a window: almost full, then full.
    [InlineData(3, 600, 5, 4, 1, 8)] // Parts that nothing has come to.
    [InlineData(6, 530, 527, 5, 1, 16)] // Three query heads and two of one key head.
    [InlineData(3, 256, 253, 9, 1, 8)]
    [InlineData(4, 40, 37, 13, 1, 8)] // The last of four slices is one head.
    [InlineData(1, 45, 30, 1, 1, 128)]
    [InlineData(6, 300, 254, 3, 3, 24)] // From one part to two; a head's features are no power of two, a warp's are of two heads.
    [InlineData(4, 2, 1, 4, 4, 8)]
    [InlineData(2, 1, 1, 2, 2, 16)] // Nothing but itself.
    [InlineData(8, 2048, 2045, 1, 1, 8)]
    public void A_text_alone_has_the_scores_of_one_in_a_batch(int units, int window, int prompt, int heads, int keyHeads, int size) =>
        RequireAlike(
            TinyModels.GatedFwa with { Width = heads * size, Heads = heads, KeyHeads = keyHeads, Window = window },
            prompt,
            MayBeOneLaunch(units));

    [Theory]
    [InlineData("gate")]
    [InlineData("shift")]
    [InlineData("norm")]
    [InlineData("rotary")]
    [InlineData("all")]
    public void What_a_model_lacks_is_left_out(string lacking)
    {
        bool Has(string option) => lacking != option && lacking != "all";
        ModelConfig config = TinyModels.GatedFwa with
        {
            Gate = Has("gate"), TokenShift = Has("shift"), QkNorm = Has("norm"), Rotary = Has("rotary"), TiedEmbedding = lacking != "all",
            Window = 300,
        };
        RequireAlike(config, prompt: 297, MayBeOneLaunch(4));
    }

    [Theory]
    [InlineData(8, 1, 1, 8)]
    [InlineData(40, 5, 5, 1000)] // Blocks that have rows of some matrices and of others none.
    [InlineData(72, 3, 1, 248)]
    [InlineData(160, 5, 3, 520)]
    [InlineData(264, 11, 1, 24)]
    public void Widths_may_be_any_multiples_of_8(int width, int heads, int layers, int hidden) => RequireAlike(
        TinyModels.GatedFwa with { Width = width, Heads = heads, KeyHeads = 1, FeedForwardWidth = hidden, Layers = layers, Window = 11 },
        prompt: 7,
        MayBeOneLaunch((heads + 3) / 4));

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(131)]
    [InlineData(1541)]
    [InlineData(52_001)] // Slots are filled for the second and third time, on however many multiprocessors.
    public void A_vocabulary_may_be_smaller_than_the_blocks_or_outgrow_their_slots(int vocabulary) => RequireAlike(
        TinyModels.GatedFwa with { VocabularySize = vocabulary, Width = 16, Heads = 2, KeyHeads = 1, Layers = 1 },
        prompt: 4,
        MayBeOneLaunch(1));

    [Theory]
    [InlineData(2100, 1, 1, 8)] // More parts of a window than are joined.
    [InlineData(20, 1, 1, 256)] // A ring that shared memory has no room for.
    [InlineData(2048, 20, 20, 8)] // More parts of heads' windows than a GPU has multiprocessors.
    public void What_does_not_fit_goes_through_the_kernels_of_a_layer(int window, int heads, int keyHeads, int size) => RequireAlike(
        TinyModels.GatedFwa with { Width = heads * size, Heads = heads, KeyHeads = keyHeads, Window = window, Layers = 1 },
        prompt: 9,
        isOneLaunch: false);

    [Theory]
    [InlineData(3)]
    [InlineData(30)]
    public void An_idle_text_stays_as_it_is(int prompt)
    {
        using LanguageModel model = TinyModels.Lively(TinyModels.GatedFwa with { Window = 20 }, Backend);
        int[] tokens = TinyModels.Tokens(prompt + Steps);
        using DecodeState state = model.NewState(), other = model.NewState();
        Advance(model, state, tokens[..prompt]);
        Advance(model, other, tokens[..prompt]);
        foreach (int token in tokens[prompt..])
        {
            using var tape = new Tape(recording: false);
            state.StepOf(model).Advance(tape, tape.Own(Tensor.From([9], [1, 1])), [true]);
            Assert.Equal(Advance(model, other, token), Advance(model, state, token));
        }
    }

    [Fact]
    public void A_token_comes_from_the_host_or_the_GPU_and_is_refused_if_there_is_none_like_it()
    {
        using LanguageModel model = TinyModels.Lively(TinyModels.GatedFwa, Backend);
        using DecodeState state = model.NewState(), other = model.NewState();
        foreach (int token in TinyModels.Tokens(12))
        {
            foreach (int unknown in (int[])[-1, model.Config.VocabularySize])
            {
                using var tape = new Tape(recording: false);
                Assert.Throws<OperandException>(() => model.Advance(tape, state, tape.Own(Tensor.From([unknown], [1, 1]))));
            }

            Assert.Equal(Advance(model, other, Backend.Device, token), Advance(model, state, Device.Cpu, token));
        }

        using var unseen = new Tape(recording: false);
        Tensor missing = unseen.Own(Tensor.From([model.Config.VocabularySize], [1, 1], Backend.Device));
        Assert.All(model.Advance(unseen, state, missing).ToArray(), score => Assert.Equal(float.NaN, score));
    }

    private bool MayBeOneLaunch(int units) =>
        CudaDevice.Get(Backend.Device.Index) is { Architecture: >= 90 } device && device.Multiprocessors >= units;

    private void RequireAlike(ModelConfig config, int prompt, bool isOneLaunch)
    {
        using LanguageModel model = TinyModels.Lively(config, Backend);
        int[] tokens = TinyModels.Tokens(prompt + Steps, vocabulary: config.VocabularySize);
        using DecodeState alone = model.NewState(), twice = model.NewState(2);
        Assert.Equal(isOneLaunch, alone.StepOf(model).IsOneLaunch);
        Advance(model, alone, tokens[..prompt]);
        Advance(model, twice, [.. tokens[..prompt], .. tokens[..prompt]]);
        foreach (int token in tokens[prompt..])
        {
            float[] expected = Advance(model, twice, token, token)[..config.VocabularySize];
            Assert.InRange(ErrorNorm.Relative(Advance(model, alone, token), expected), 0, Tolerance);
        }
    }

    private static float[] Advance(LanguageModel model, DecodeState state, params int[] tokens) =>
        Advance(model, state, Device.Cpu, tokens);

    private static float[] Advance(LanguageModel model, DecodeState state, Device device, params int[] tokens)
    {
        using var tape = new Tape(recording: false);
        Tensor input = tape.Own(Tensor.From(tokens, [state.Batch, tokens.Length / state.Batch], device));
        return model.Advance(tape, state, input).ToArray();
    }
}
