using System.Runtime.InteropServices;
using GatedFwa.Attention;
using GatedFwa.Attention.Kernels;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Generation;

/// <summary>
/// One token of one text in one launch (<c>decode_text.cu</c>): for models whose layers are so small that kernels of their own would spend
/// their time on beginning and ending, as long as a multiprocessor's share of a layer fits its shared memory.
/// </summary>
internal sealed class DecodeText : IDisposable
{
    // As decode_share.cuh and ring_walk.cuh have them; where rooms made of other numbers are too small, the kernel does not compile.
    private const int Warps = 8, Threads = 32 * Warps, StepFeatures = 32, TileRows = 16, TileKeys = 32, Phases = 5;
    private const int ElementBytes = 2, RoomAlignment = 128, BarrierBytes = 8;

    // Of which the kernel hears: words of a part beside its sums, how often lies what all blocks read, and pointers of a layer.
    private const int PartWords = 4, Copies = 4, LayerPointers = 21;

    private const int MostHeads = 4, MostSplits = 8, MostSlots = 8;
    private const int Architecture = 90; // The first with a copy engine.

    private static readonly KernelSource Source = new(typeof(DecodeText), "decode_text.cu");

    private readonly ModelConfig _config;
    private readonly CudaDevice _device;
    private readonly Plan _plan;
    private readonly KernelDefine[] _defines;
    private readonly CudaStorage _layers, _exchange;
    private bool _fits; // Known once the driver has taken it as a cooperative launch.

    private DecodeText(ModelConfig config, CudaDevice device, DType type, Plan plan, ReadOnlySpan<DecodeLayer> layers, DecodeState state)
    {
        (_config, _device, _plan) = (config, device, plan);
        _layers = device.Memory.Rent((long)layers.Length * LayerPointers * sizeof(long));
        var pointers = new List<long>();
        for (int i = 0; i < layers.Length; i++) pointers.AddRange(Pointers(layers[i], state.Layers[i], type));
        _layers.CopyFromHost(MemoryMarshal.AsBytes(CollectionsMarshal.AsSpan(pointers)), 0);
        _exchange = device.Memory.Rent(plan.ExchangeBytes);
        _exchange.Clear();
        _defines =
        [
            KernelDefine.Element(type), ("BLOCKS", plan.Blocks), ("WIDTH", config.Width), ("HIDDEN", config.FeedForwardWidth),
            ("QUERY_HEADS", config.Heads), ("KEY_HEADS", config.KeyHeads), ("HEAD_SIZE", config.HeadSize), ("HEADS", plan.Heads),
            ("SPLITS", plan.Splits), ("SHIFTED", config.TokenShift), ("NORM", config.QkNorm), ("ROTARY", config.Rotary),
            ("GATED", config.Gate), ("SLOTS", plan.Slots), ("COPIES", Copies), ("PART_WORDS", PartWords),
            ("LAYER_POINTERS", LayerPointers), ("EXCHANGE_BYTES", checked((int)plan.ExchangeBytes)), ("ROOM_RING", plan.Rooms.Ring),
            ("ROOM_OUTPUT", plan.Rooms.Output), ("ROOM_GATE", plan.Rooms.Gate), ("ROOM_VALUE", plan.Rooms.Value),
            ("ROOM_END", plan.Rooms.End), ("ROOM_TABLE", plan.Table),
        ];
    }

    /// <summary>For a model and its state, or none where it does not serve.</summary>
    public static DecodeText? For(
        ModelConfig config, CudaDevice device, DType type, ReadOnlySpan<DecodeLayer> layers, DecodeState state)
    {
        if (state.Batch != 1 || type == DType.F32 || device.Architecture < Architecture) return null;
        return Plan.For(config, device) is { } plan ? new DecodeText(config, device, type, plan, layers, state) : null;
    }

    /// <summary>Feeds one token.</summary>
    /// <param name="token">I32 [1, 1], on the GPU or the CPU: from there it comes with the launch, and nothing is copied ahead.</param>
    /// <param name="embedding">F32 [V, C].</param>
    /// <param name="norm">F32 [C]: the last.</param>
    /// <param name="head">[V, C] in the weights' type.</param>
    /// <param name="frequencies">Float64 [D / 2].</param>
    /// <param name="cursors">Where the text is.</param>
    /// <param name="capacity">Slots of a head's ring.</param>
    /// <param name="logits">F32 [1, V].</param>
    public void Launch(
        Tensor token,
        Tensor embedding,
        Tensor norm,
        Tensor head,
        CudaStorage frequencies,
        DecodeCursors cursors,
        int capacity,
        Tensor logits)
    {
        bool isHere = token.Device.IsCpu;
        // Blocks wait for one another, so all must run at once: as a cooperative launch the driver checks that. It costs 3 us, once.
        _device.Kernel(Source, "decode_text", _defines).Launch(
            new LaunchShape(_plan.Blocks, Threads + 32, _plan.SharedBytes, Overlaps: _fits, Cooperative: !_fits),
            isHere ? null : token, isHere ? token.AsIntegerSpan()[0] : 0, embedding, head, _config.VocabularySize, norm,
            _config.NormEpsilon, DecayGate.DefaultEpsilon, (float)Units.Log2E / MathF.Sqrt(_config.HeadSize), _layers, _config.Layers,
            frequencies, cursors.Positions, cursors.Slots, cursors.Idle, capacity, _exchange, logits);
        _fits = true;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _layers.Dispose();
        _exchange.Dispose();
    }

    /// <summary>A layer as <c>Layer</c> in decode_text_rooms.cuh has it.</summary>
    private static long[] Pointers(DecodeLayer layer, LayerState state, DType type)
    {
        long Of(Tensor? tensor) => tensor is null ? 0 : tensor.Address;
        long Typed(Tensor tensor) => tensor.As(type).Address;
        long Projection(int index) => index < layer.Projections.Length ? Typed(layer.Projections[index]) : 0;
        return
        [
            Of(layer.AttentionNorm), Projection(0), Projection(1), Projection(2), Projection(3), Projection(4),
            Of(layer.Decay?.Gate), Of(layer.Decay?.Amplitude), Of(layer.GateBias?.Value),
            Of(layer.QueryNorm?.Value), Of(layer.KeyNorm?.Value),
            Typed(layer.Output), Of(layer.FeedForwardNorm), Typed(layer.FeedForwardGate), Typed(layer.FeedForwardValue),
            Typed(layer.FeedForwardOutput), state.Ring.Keys.Slots.Address, state.Ring.Values.Slots.Address,
            Of(state.Ring.Alpha?.Slots), Of(state.PreviousKey), Of(state.PreviousValue),
        ];
    }

    /// <summary>How a model is dealt to blocks, and where a block's shared memory has what.</summary>
    private readonly record struct Plan
    {
        /// <summary>One a multiprocessor, as long as each has rows of the projections and of the feed-forward's gate.</summary>
        public required int Blocks { get; init; }

        /// <summary>Query heads of a unit of attention, which has a slice of a key head's.</summary>
        public required int Heads { get; init; }

        /// <summary>Parts of a window, each a unit's.</summary>
        public required int Splits { get; init; }

        /// <summary>Where shared memory has what, in bytes: the projections begin at 0.</summary>
        public required Rooms Rooms { get; init; }

        /// <summary>Where the table of layers lies in shared memory, behind what phases share.</summary>
        public required int Table { get; init; }

        /// <summary>Tiles of the vocabulary that find a place in the rooms.</summary>
        public required int Slots { get; init; }

        /// <summary>Of a block, with the table of layers.</summary>
        public required int SharedBytes { get; init; }

        /// <summary>What blocks tell one another.</summary>
        public required long ExchangeBytes { get; init; }

        public static Plan? For(ModelConfig config, CudaDevice device)
        {
            int width = config.Width, hidden = config.FeedForwardWidth, size = config.HeadSize;
            int blocks = Math.Min(device.Multiprocessors, Math.Min(Rows.ProjectedBy(config), hidden / 2)); // All publish both.
            int group = config.Heads / config.KeyHeads, slices = RowLaunch.Quotient(group, MostHeads);
            int heads = RowLaunch.Quotient(group, slices);
            int splits = RowLaunch.Quotient(RowLaunch.Quotient(config.Window!.Value, TileKeys), Warps);
            if (splits > MostSplits || config.KeyHeads * slices * splits > blocks) return null;

            var rows = Rows.Of(config, blocks);
            if (rows.Most > Threads) return null; // A thread adds up a row's sums.
            var rooms = Rooms.Of(config, rows, heads);
            int slots = (int)Math.Min(MostSlots, rooms.End / ((long)TileRows * width * ElementBytes));
            int table = rooms.End + Rooms.Rounded((SharedWords(config, rows, heads, splits) * sizeof(float)) +
                (2L * (Phases + slots) * BarrierBytes) + RoomAlignment);
            long shared = table + ((long)config.Layers * LayerPointers * sizeof(long));
            if (slots < 2 || shared > device.MaxSharedBytes) return null;

            long partWords = (long)config.Heads * splits * (size + PartWords);
            long pairs = rows.Projected + 1 + (Copies * (partWords + (2 * width) + (hidden / 2L))) + 1;
            return new Plan
            {
                Blocks = blocks,
                Heads = heads,
                Splits = splits,
                Rooms = rooms,
                Table = table,
                Slots = slots,
                SharedBytes = (int)shared,
                ExchangeBytes = pairs * 2 * sizeof(int),
            };
        }

        /// <summary>Words that phases share (<c>Shared</c> in decode_text_rooms.cuh), in the order in which they lie there.</summary>
        private static long SharedWords(ModelConfig config, Rows rows, int heads, int splits)
        {
            int size = config.HeadSize;
            int widthSteps = RowLaunch.Quotient(Steps(config.Width), Warps);
            int hiddenSteps = RowLaunch.Quotient(Steps(config.FeedForwardWidth), Warps);
            int sliceHeads = RowLaunch.Quotient((widthSteps * StepFeatures) - 1, size) + 1;
            int mostRows = RowLaunch.Quotient(Math.Max(rows.Most, 2 * rows.Hidden), TileRows) * TileRows;

            long sums = 2L * Warps * mostRows, squares = 2 * Warps, decays = 8 * Warps;
            long vectors = (long)Warps * Math.Max(widthSteps, (hiddenSteps / 2) + 1) * StepFeatures;
            long parts = (long)Warps * sliceHeads * splits * (size + PartWords);
            long projections = rows.Projected + (2 * config.Heads);
            long query = heads * size, outputs = (long)Warps * heads * size, statistics = 4L * Warps * heads; // Highest, weight, a double.
            long token = (2 * heads) + size + (2 * Warps); // Newest alpha, bias; angles; squares of queries and keys.
            return sums + squares + decays + vectors + parts + projections + query + outputs + statistics + token;
        }
    }

    /// <summary>Rows that a block has of each matrix, at most.</summary>
    private readonly record struct Rows(int Projected, int Projections, int Stream, int Hidden)
    {
        public int Most => Math.Max(Math.Max(Projections, Stream), Hidden);

        /// <summary>Rows of query, key, value and the shifts' mixes.</summary>
        public static int ProjectedBy(ModelConfig config) =>
            config.Width + (2 * config.KeyHeads * config.HeadSize) + (config.TokenShift ? 2 * config.KeyHeads : 0);

        public static Rows Of(ModelConfig config, int blocks)
        {
            int projected = ProjectedBy(config);
            return new Rows(
                projected,
                RowLaunch.Quotient(projected, blocks),
                RowLaunch.Quotient(config.Width, blocks),
                2 * RowLaunch.Quotient(config.FeedForwardWidth / 2, blocks));
        }
    }

    /// <summary>Where the rooms of a block's shared memory begin, in bytes (decode_text_rooms.cuh says what lies in each).</summary>
    private readonly record struct Rooms(int Ring, int Output, int Gate, int Value, int End)
    {
        public static Rooms Of(ModelConfig config, Rows rows, int heads)
        {
            long norm = config.Width * sizeof(float), head = config.HeadSize * ElementBytes, headFactors = config.HeadSize * sizeof(float);
            long keys = Warps * TileKeys;
            int projections = Rounded((rows.Projections * Pitch(config.Width)) + norm + (config.Gate ? 2 * heads * norm : 0));
            int ring = Rounded((2 * keys * head) + ((heads + 1) * headFactors) + ((config.KeyHeads + 1) * head));
            int output = Rounded(rows.Stream * Pitch(config.Width));
            int gate = Rounded((2 * rows.Hidden * Pitch(config.Width)) + norm);
            int value = Rounded(rows.Stream * Pitch(config.FeedForwardWidth));
            int atOutput = projections + ring, atGate = atOutput + output, atValue = atGate + gate;
            return new Rooms(projections, atOutput, atGate, atValue, atValue + value);
        }

        public static int Rounded(long bytes) => checked((int)(RowLaunch.Quotient(bytes, RoomAlignment) * RoomAlignment));
    }

    private static int Steps(int features) => RowLaunch.Quotient(features, StepFeatures);

    /// <summary>Bytes from row to row: an odd number of 64, so that eight rows lie in different banks.</summary>
    private static long Pitch(int features) => (Steps(features) | 1) * StepFeatures * ElementBytes;
}
