using GatedFwa.Attention;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Generation;

/// <summary>
/// Products of a few rows with weights that are read once: the time is that of reading them. Up to five weights stand one below the
/// other in one launch; a norm before and what follows (a residual sum, SwiGLU) go along.
/// </summary>
/// <param name="type">The type that weights are read in.</param>
/// <param name="epsilon">Added to the mean square of a norm.</param>
internal sealed class DecodeProduct(DType type, float epsilon)
{
    /// <summary>The most rows; beyond them a matrix product of its own is faster.</summary>
    public const int MostRows = 64;

    /// <summary>Features are read eight at a time.</summary>
    public const int Alignment = 8;

    /// <summary>Rows up to which the time is that of reading the weights; more of 16 bits have a kernel of their own.</summary>
    public const int FewRows = 16;

    private const int Warps = 8, TileColumns = 8, MostWeights = 5, DotRows = 8;

    /// <summary>Columns from which on blocks of more than a few rows, of floats, have four tiles, so that x is read less often.</summary>
    private const int ManyColumns = 2048;

    /// <summary>Features that a warp reads at a time of a row.</summary>
    private const int StepFeatures = 32;

    /// <summary>What a block of scores may keep of x, and how many share a multiprocessor.</summary>
    private const int MostInputBytes = 64 << 10, ScoreBlocksPerMultiprocessor = 2;

    private static readonly KernelSource Source = new(typeof(DecodeProduct), "decode_product.cu");
    private static readonly KernelSource BatchSource = new(typeof(DecodeProduct), "decode_batch_product.cu");
    private static readonly KernelSource ScoresSource = new(typeof(DecodeProduct), "decode_scores.cu");

    private enum Epilogue
    {
        Store,
        Add,
        SwiGlu,
    }

    /// <summary>y [B, N…] = norm(x) · each weightᵀ, one after the other, then the decays' projections.</summary>
    /// <param name="x">F32 [B, C].</param>
    /// <param name="norm">F32 [C].</param>
    /// <param name="weights">Up to five, each [N, C].</param>
    /// <param name="decay">Two F32 weights [H, C] that are not rounded, or none.</param>
    /// <param name="y">F32 [B, ΣN + 2H].</param>
    /// <param name="overlaps">Whether weights may be read while the kernel before still runs.</param>
    /// <param name="normed">x with the factors of this norm, where x is kept so.</param>
    public void Store(
        Tensor x,
        Tensor norm,
        ReadOnlySpan<Tensor> weights,
        (Tensor Gate, Tensor Amplitude)? decay,
        Tensor y,
        bool overlaps = true,
        NormedStream? normed = null) =>
        Launch(Epilogue.Store, Input.Of(x, normed), norm, weights, decay, y, overlaps: overlaps);

    /// <summary>sum += x · weightᵀ.</summary>
    /// <param name="x">[B, K] in the weights' type.</param>
    /// <param name="weight">[N, K].</param>
    /// <param name="sum">F32 [B, N].</param>
    /// <param name="normed">Where the sum goes along with the factors of the next norm.</param>
    /// <param name="nextNorm">F32 [N]: these.</param>
    public void Add(Tensor x, Tensor weight, Tensor sum, NormedStream? normed = null, Tensor? nextNorm = null) =>
        Add(Input.Of(x), weight, sum, normed, nextNorm);

    /// <summary>sum += x · weightᵀ.</summary>
    /// <param name="x">Parts of attention, which are joined on the way.</param>
    /// <param name="weight">[N, H · D].</param>
    /// <param name="sum">F32 [B, N].</param>
    /// <param name="normed">Where the sum goes along with the factors of the next norm.</param>
    /// <param name="nextNorm">F32 [N]: these.</param>
    public void Add(RingDecodeCuda.Parts x, Tensor weight, Tensor sum, NormedStream? normed = null, Tensor? nextNorm = null) =>
        Add(new Input(0, type, 0, x, null), weight, sum, normed, nextNorm);

    /// <summary>y = silu(norm(x) · gateᵀ) ∘ (norm(x) · valueᵀ).</summary>
    /// <param name="x">F32 [B, C].</param>
    /// <param name="norm">F32 [C].</param>
    /// <param name="gate">[N, C].</param>
    /// <param name="value">[N, C].</param>
    /// <param name="y">[B, N] in the weights' type.</param>
    /// <param name="memory">Keys and values to keep in the same launch, or none.</param>
    /// <param name="normed">x with the factors of this norm, where x is kept so.</param>
    /// <param name="ahead">With many texts of 16 bits: what to bring nearer.</param>
    public void SwiGlu(
        Tensor x,
        Tensor norm,
        Tensor gate,
        Tensor value,
        Tensor y,
        KeptToken? memory = null,
        NormedStream? normed = null,
        Ahead ahead = default) =>
        Launch(Epilogue.SwiGlu, Input.Of(x, normed), norm, [gate, value], null, y, memory, ahead: ahead);

    /// <summary>y = norm(x) · weightᵀ for the many columns of a vocabulary.</summary>
    /// <param name="x">F32 [B, C], at most <see cref="FewRows"/>.</param>
    /// <param name="norm">F32 [C].</param>
    /// <param name="weight">[V, C].</param>
    /// <param name="y">F32 [B, V].</param>
    public void Scores(Tensor x, Tensor norm, Tensor weight, Tensor y)
    {
        (int rows, int width, int columns) = (x.Shape[0], x.Shape[1], y.Shape[1]);
        int inputBytes = rows * (RowLaunch.Quotient(width, StepFeatures) | 1) * StepFeatures * type.Bytes();
        if (type == DType.F32 || inputBytes > MostInputBytes)
        {
            Store(x, norm, [weight], null, y);
            return;
        }

        int turns = RowLaunch.Quotient(columns, TileColumns * Warps);
        x.Cuda.Kernel(ScoresSource, "decode_scores", KernelDefine.Element(type), ("ROWS", rows), ("WIDTH", width)).Launch(
            new LaunchShape(Math.Min(turns, ScoreBlocksPerMultiprocessor * x.Cuda.Multiprocessors), 32 * Warps, inputBytes, Overlaps: true),
            x, norm, epsilon, weight.As(type), columns, y);
    }

    private void Add(Input x, Tensor weight, Tensor sum, NormedStream? normed, Tensor? nextNorm) =>
        Launch(Epilogue.Add, x, null, [weight], null, sum, leaves: nextNorm is null ? null : normed, nextNorm: nextNorm);

    private void Launch(
        Epilogue epilogue,
        Input x,
        Tensor? norm,
        ReadOnlySpan<Tensor> weights,
        (Tensor Gate, Tensor Amplitude)? decay,
        Tensor y,
        KeptToken? memory = null,
        bool overlaps = true,
        NormedStream? leaves = null,
        Tensor? nextNorm = null,
        Ahead ahead = default)
    {
        (int rows, int width) = (y.Shape[0], weights[0].Shape[1]);
        Span<nint> addresses = stackalloc nint[MostWeights];
        Span<int> ends = stackalloc int[MostWeights];
        int end = 0;
        for (int i = 0; i < MostWeights; i++)
        {
            // Past the last weight come no further rows.
            Tensor weight = weights[Math.Min(i, weights.Length - 1)].As(type);
            addresses[i] = weight.Address;
            ends[i] = end += i < weights.Length ? weight.Shape[0] : 0;
        }

        int heads = decay?.Gate.Shape[0] ?? 0;
        KernelDefine Typed(string name, DType of) => (name, KernelDefine.Element(of).Value);
        KernelDefine[] defines =
        [
            KernelDefine.Element(type), Typed("OUTPUT", y.Type), ("ROWS", rows), ("WIDTH", width), ("EPILOGUE", (int)epilogue),
            ("SPLITS", x.Parts?.Splits ?? 0), ("HEAD_SIZE", x.Parts?.HeadSize ?? 0), ("NORM", norm is not null),
            ("KEPT_WIDTH", memory?.Width ?? 0),
        ];
        KernelArgument[] matrices =
        [
            norm, epsilon, addresses[0], addresses[1], addresses[2], addresses[3], addresses[4],
            ends[0], ends[1], ends[2], ends[3], ends[4], decay?.Gate, decay?.Amplitude, heads, y, y.Shape[1],
            memory?.Projections ?? 0, memory?.Stride ?? 0, memory?.Keys, memory?.Values, memory?.Idle ?? 0,
        ];
        nint parts = x.Parts?.Outputs ?? 0, stretches = x.Parts?.Stretches ?? 0;
        if (NormedStream.IsFor(rows, type))
        {
            int decayHeads = DecodeTile.DecayHeads(y.Cuda, width), decayBlocks = DecodeTile.DecayBlocks(rows, heads, decayHeads);
            DecodeTile tile = DecodeTile.For(y.Cuda, rows, end, width, decayBlocks, x.Parts is not null);
            int sharedBytes = Math.Max(tile.SharedBytes, heads == 0 ? 0 : decayHeads * width * sizeof(float));
            y.Cuda.Kernel(
                BatchSource,
                "decode_batch_product",
                [
                    .. defines, ("BLOCK_ROWS", tile.Rows), ("COLUMNS", tile.Columns), ("COLUMN_GROUPS", tile.ColumnGroups),
                    ("STAGES", tile.Stages), ("SQUARES", x.Normed?.SquareParts ?? 1), ("DECAY_HEADS", decayHeads),
                ]).Launch(
                new LaunchShape(tile.Blocks(rows, end) + decayBlocks, 32 * Warps, sharedBytes, Overlaps: overlaps, MostShared: true),
                [
                    x.Address, x.Stream, x.Normed?.Squares, parts, stretches, .. matrices, nextNorm, leaves?.Values, leaves?.Squares,
                    ahead.Next.Address, ahead.Next.Bytes, ahead.AfterNext.Address, ahead.AfterNext.Bytes, ahead.Keys, ahead.Values,
                    ahead.Cursors, ahead.Capacity, ahead.KeyHeads, ahead.KeyBytes, ahead.Stretches,
                ]);
            if (leaves is not null) leaves.SquareParts = RowLaunch.Quotient(end, tile.Columns);
            return;
        }

        int tiles = Math.Max(epilogue == Epilogue.SwiGlu ? 2 : 1, rows <= FewRows ? 1 : end >= ManyColumns ? 4 : 2);
        int columns = tiles * TileColumns;
        int blocks = RowLaunch.Quotient(end, columns) + RowLaunch.Quotient(2 * heads * RowLaunch.Quotient(rows, DotRows), Warps);
        int partBytes = Warps * rows * (columns + 1) * sizeof(float), joinedBytes = x.Parts is null ? 0 : rows * width * type.Bytes();
        y.Cuda.Kernel(
            Source,
            "decode_product",
            [.. defines, ("ELEMENT_BYTES", type.Bytes()), Typed("INPUT", x.Type), ("COLUMNS", columns)]).Launch(
            new LaunchShape(blocks, 32 * Warps, Math.Max(partBytes, joinedBytes), Overlaps: overlaps),
            [x.Address, parts, stretches, .. matrices]);
    }

    /// <summary>What is multiplied: an address of x, and of its floats.</summary>
    private readonly record struct Input(nint Address, DType Type, nint Stream, RingDecodeCuda.Parts? Parts, NormedStream? Normed)
    {
        public static Input Of(Tensor x, NormedStream? normed = null) =>
            new(normed?.Values.Address ?? x.Address, normed?.Values.Type ?? x.Type, x.Address, null, normed);
    }

    /// <summary>
    /// The residual stream with the factors of a norm, rounded, and the sums of its squares: from the kernel that wrote it last for the
    /// product that reads it next. For many texts and weights of 16 bits.
    /// </summary>
    /// <param name="Values">[B, C] in the weights' type.</param>
    /// <param name="Squares">F32 [parts, B].</param>
    internal sealed record NormedStream(Tensor Values, Tensor Squares) : IDisposable
    {
        /// <summary>Parts that the sums of squares are in.</summary>
        public int SquareParts { get; set; }

        /// <summary>Whether products of so many texts read it.</summary>
        public static bool IsFor(int rows, DType type) => type != DType.F32 && rows > FewRows;

        /// <summary>Takes its memory, if it is read.</summary>
        public static NormedStream? For(int rows, int width, DType type, Device device) => !IsFor(rows, type) ? null : new(
            Tensor.Empty([rows, width], type, device), Tensor.Empty([RowLaunch.Quotient(width, TileColumns), rows], DType.F32, device));

        public void Dispose()
        {
            Values.Dispose();
            Squares.Dispose();
        }
    }

    /// <summary>A token's keys and values, which become those of the token before.</summary>
    /// <param name="Projections">Where they lie: F32 rows of keys, then values.</param>
    /// <param name="Stride">From row to row.</param>
    /// <param name="Width">Of keys.</param>
    /// <param name="Keys">[B, Hkv, D] in the weights' type.</param>
    /// <param name="Values">[B, Hkv, D] in the weights' type.</param>
    /// <param name="Idle">Address of int32 [B]: not 0 for texts whose token before stays.</param>
    internal sealed record KeptToken(nint Projections, int Stride, int Width, Tensor Keys, Tensor Values, nint Idle);

    /// <summary>What the kernels that follow will read (<c>decode_ahead.cuh</c>).</summary>
    /// <param name="Next">The next kernel's weights.</param>
    /// <param name="AfterNext">Those of the one after it.</param>
    /// <param name="Keys">Address of a ring's keys, or 0.</param>
    /// <param name="Values">Address of its values.</param>
    /// <param name="Cursors">Address of each text's (next slot, count).</param>
    /// <param name="Capacity">Slots of a head.</param>
    /// <param name="KeyHeads">Heads of a text.</param>
    /// <param name="KeyBytes">Of a key.</param>
    /// <param name="Stretches">Warps that share a head's window: the first tile of each is sent for.</param>
    internal readonly record struct Ahead(
        Region Next, Region AfterNext, nint Keys, nint Values, nint Cursors, int Capacity, int KeyHeads, int KeyBytes, int Stretches);

    /// <summary>Some memory.</summary>
    /// <param name="Address">Where it begins.</param>
    /// <param name="Bytes">How much.</param>
    internal readonly record struct Region(nint Address, int Bytes)
    {
        /// <summary>The tensors as far as they lie one behind the other.</summary>
        public static Region Of(ReadOnlySpan<Tensor> tensors, DType type)
        {
            var region = new Region(tensors[0].As(type).Address, 0);
            foreach (Tensor tensor in tensors)
            {
                if (tensor.As(type).Address != region.Address + region.Bytes) break;
                region = region with { Bytes = checked(region.Bytes + (int)(tensor.Shape.Count * type.Bytes())) };
            }

            return region;
        }
    }
}
