namespace GatedFwa.Models;

/// <summary>
/// Everything that decides a model's shape and its operators; <c>config.json</c> is this, in snake_case. Each piece of the layer is
/// an option of its own, so that one code trains full softmax, sliding window, gated full attention, GatedFWA and GatedFWA with native
/// sparse attention.
/// </summary>
/// <example>
/// <code>
/// ModelConfig gatedFwa = ModelConfig.Preset("tiny");
/// ModelConfig slidingWindow = gatedFwa with { Gate = false };
/// ModelConfig fullSoftmax = gatedFwa with { Gate = false, Window = null };
/// ModelConfig lookingBack = gatedFwa with { NativeSparse = new() { BlockCount = 8 } };
/// </code>
/// </example>
public sealed partial record ModelConfig
{
    private const int SwiGluRounding = 256;

    private readonly int? _keyHeads;
    private readonly int? _feedForwardWidth;

    /// <summary>The number of token ids, V.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>The number of blocks, L.</summary>
    public required int Layers { get; init; }

    /// <summary>Features of a token, C.</summary>
    public required int Width { get; init; }

    /// <summary>Query heads, H; divides <see cref="Width"/>.</summary>
    public required int Heads { get; init; }

    /// <summary>Key and value heads, Hkv; divides <see cref="Heads"/>, and equals it unless set.</summary>
    public int KeyHeads
    {
        get => _keyHeads ?? Heads;
        init => _keyHeads = value;
    }

    /// <summary>Keys a query sees, its own included; null for all earlier ones (full causal attention).</summary>
    public int? Window { get; init; }

    /// <summary>Whether scores carry the learned decay.</summary>
    public bool Gate { get; init; } = true;

    /// <summary>The gate's bias at initialisation: larger forgets more slowly (2 gives α ≈ 0.127 a token).</summary>
    public float GateBias { get; init; } = 2;

    /// <summary>Whether native sparse attention looks back beyond the window, and in which blocks; null for the window alone.</summary>
    public NativeSparseConfig? NativeSparse { get; init; }

    /// <summary>Whether keys and values are mixed with those of the token before.</summary>
    public bool TokenShift { get; init; } = true;

    /// <summary>Whether queries and keys are normalised over their whole projection.</summary>
    public bool QkNorm { get; init; } = true;

    /// <summary>Whether queries and keys are rotated by their position.</summary>
    public bool Rotary { get; init; } = true;

    /// <summary>The base of the rotary wavelengths.</summary>
    public float RotaryBase { get; init; } = 10_000;

    /// <summary>Hidden features of the SwiGLU, 0 for blocks of attention alone; 8C/3 rounded up to a multiple of 256 unless set.</summary>
    public int FeedForwardWidth
    {
        get => _feedForwardWidth ?? (int)((((8L * Width) + 2) / 3 + SwiGluRounding - 1) / SwiGluRounding * SwiGluRounding);
        init => _feedForwardWidth = value;
    }

    /// <summary>Whether the output projection is the embedding itself.</summary>
    public bool TiedEmbedding { get; init; } = true;

    /// <summary>The share of elements dropped after the embedding and before each residual sum while training.</summary>
    public float Dropout { get; init; }

    /// <summary>Added to the mean square of every RMSNorm.</summary>
    public float NormEpsilon { get; init; } = 1e-6f;

    /// <summary>Features of a head, D = C / H.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public int HeadSize => Width / Heads;

    /// <summary>Whether no token sees, layer by layer, further than a window: what is remembered of a text then stays the same however
    /// long the text becomes.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public bool IsBounded => Window is not null && NativeSparse is null;

    /// <summary>
    /// How many tokens back a prediction can look, L · (W − 1): each layer hands on what its window sees. Null where nothing bounds
    /// it. The one token a layer that the token shift adds is not counted.
    /// </summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public long? Reach => IsBounded && Window is { } window ? (long)Layers * (window - 1) : null;

    /// <summary>A configuration by name.</summary>
    /// <param name="name"><c>nano</c> (learns English spelling in a minute on two cores), <c>tiny</c> (11 M parameters),
    /// <c>small</c> (124 M with GPT-2's vocabulary, the size of the paper's smaller models) or <c>zoology</c> (the narrowest model of
    /// Zoology's Figure 2, arXiv 2312.04927, for tasks of recall: docs/tasks.md says where it differs).</param>
    /// <remarks>
    /// Set <see cref="VocabularySize"/> to that of the tokenizer at hand: <c>Preset("small") with { VocabularySize = … }</c>.
    /// </remarks>
    /// <exception cref="InputException">There is no such preset.</exception>
    public static ModelConfig Preset(string name) => name switch
    {
        "nano" => new() { VocabularySize = 257, Layers = 3, Width = 96, Heads = 3, Window = 64, FeedForwardWidth = 256, TiedEmbedding = false },
        "tiny" => new() { VocabularySize = 257, Layers = 6, Width = 384, Heads = 6, Window = 256 },
        "small" => new() { VocabularySize = 50_257, Layers = 12, Width = 768, Heads = 12, Window = 512 },
        "zoology" => new() { VocabularySize = 8192, Layers = 2, Width = 64, Heads = 1, Window = 64, FeedForwardWidth = 0 },
        _ => throw new InputException($"There is no preset \"{name}\"; use nano, tiny, small or zoology."),
    };

    /// <summary>Checks that these numbers make a model.</summary>
    /// <returns>This configuration.</returns>
    /// <exception cref="InputException">They do not; the message names the first that is wrong.</exception>
    public ModelConfig Validate()
    {
        Require(VocabularySize is >= 2 and <= 1 << 24, "vocabulary_size", VocabularySize, "from 2 to 16777216");
        Require(Layers is >= 1 and <= 4096, "layers", Layers, "from 1 to 4096");
        Require(Width is >= 8 and <= 1 << 17, "width", Width, "from 8 to 131072");
        Require(Heads >= 1 && Width % Heads == 0, "heads", Heads, $"a divisor of the width, {Width}");
        if (HeadSize is < 8 or > 256 || HeadSize % 8 != 0)
        {
            throw new InputException(
                $"A width of {Width} over {Heads} heads gives a head size of {HeadSize}; it must be a multiple of 8 from 8 to 256.");
        }

        Require(KeyHeads >= 1 && Heads % KeyHeads == 0, "key_heads", KeyHeads, $"a divisor of the {Heads} heads");
        Require(Window is null or >= 1, "window", Window, "at least 1, or null for full causal attention");
        Require(NativeSparse is not { BlockSize: < 1 }, "native_sparse.block_size", NativeSparse?.BlockSize, "at least 1");
        Require(NativeSparse is not { BlockCount: < 1 }, "native_sparse.block_count", NativeSparse?.BlockCount, "at least 1");
        Require(float.IsFinite(GateBias), "gate_bias", GateBias, "a finite number");
        Require(float.IsFinite(RotaryBase) && RotaryBase > 1, "rotary_base", RotaryBase, "a finite number above 1");
        Require(FeedForwardWidth is >= 0 and <= 1 << 20, "feed_forward_width", FeedForwardWidth, "from 0, which means none, to 1048576");
        Require(Dropout is >= 0 and < 1, "dropout", Dropout, "at least 0 and below 1");
        Require(float.IsFinite(NormEpsilon) && NormEpsilon > 0, "norm_epsilon", NormEpsilon, "a finite number above 0");
        return this;
    }

    /// <summary>
    /// Whether two configurations describe the same model: widths that were left to their rule equal those that were written out.
    /// </summary>
    /// <param name="other">The other configuration.</param>
    public bool Equals(ModelConfig? other) => other is not null && ToJson() == other.ToJson();

    /// <inheritdoc/>
    public override int GetHashCode() => ToJson().GetHashCode(StringComparison.Ordinal);

    private static void Require(bool holds, string key, object? value, string expected)
    {
        if (!holds)
            throw new InputException(FormattableString.Invariant($"The model configuration's {key} is {value}; it must be {expected}."));
    }
}
