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
    private const int Warps = 8, Threads = 32 * Warps, StepFeatures = 32, TileRows = 16, TileKeys = 32;
    private const int ElementBytes = 2, RoomAlignment = 128, PartWords = 4, Copies = 4, BarrierBytes = 8, PointersOfLayer = 21;
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
        _layers = device.Memory.Rent((long)layers.Length * PointersOfLayer * sizeof(long));
        var pointers = new List<long>();
        for (int i = 0; i < layers.Length; i++) pointers.AddRange(Pointers(layers[i], state.Layers[i], type));
        _layers.CopyFromHost(MemoryMarshal.AsBytes(CollectionsMarshal.AsSpan(pointers)), 0);
        _exchange = device.Memory.Rent(plan.ExchangeBytes);
        _exchange.Clear();
        _defines =
        [
            KernelDefine.Element(type), ("BLOCKS", plan.Blocks), ("WIDTH", config.Width), ("HIDDEN", config.FeedForwardWidth),
            ("QUERY_HEADS", config.Heads), ("KEY_HEADS", config.KeyHeads), ("HEAD_SIZE", config.HeadSize), ("HEADS", plan.Heads),
            ("SPLITS", plan.Splits), ("SHIFTED", config.TokenShift), ("NORM", config.QkNorm),
            ("ROTARY", config.Rotary), ("GATED", config.Gate), ("SLOTS", plan.Slots), ("ROOM_RING", plan.Ring),
            ("ROOM_OUTPUT", plan.Output), ("ROOM_GATE", plan.Gate), ("ROOM_VALUE", plan.Value), ("ROOM_END", plan.End),
            ("ROOM_TABLE", plan.Table),
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
        Tensor token, Tensor embedding, Tensor norm, Tensor head, CudaStorage frequencies, DecodeCursors cursors, int capacity, Tensor logits)
    {
        bool isHere = token.Device.IsCpu;
        // Blocks wait for one another, so all must run at once: as a cooperative launch the driver checks that. It costs 3 us, once.
        _device.Kernel(Source, "decode_text", _defines).Launch(
            new LaunchShape(_plan.Blocks, Threads + 32, _plan.SharedBytes, Overlaps: _fits, Cooperative: !_fits),
            isHere ? null : token, isHere ? token.AsIntegerSpan()[0] : 0, embedding, head, _config.VocabularySize, norm, _config.NormEpsilon,
            DecayGate.DefaultEpsilon, (float)Units.Log2E / MathF.Sqrt(_config.HeadSize), _layers, _config.Layers, frequencies,
            cursors.Positions, cursors.Slots, cursors.Idle, capacity, _exchange, logits);
        _fits = true;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _layers.Dispose();
        _exchange.Dispose();
    }

    private static long[] Pointers(DecodeLayer layer, LayerState state, DType type)
    {
        long Of(Tensor? tensor) => tensor is null ? 0 : tensor.Address;
        long Typed(Tensor tensor) => tensor.As(type).Address;
        long Projection(int index) => index < layer.Projections.Length ? Typed(layer.Projections[index]) : 0;
        return
        [
            Of(layer.AttentionNorm), Projection(0), Projection(1), Projection(2), Projection(3), Projection(4),
            Of(layer.Decay?.Gate), Of(layer.Decay?.Amplitude), Of(layer.GateBias?.Value), Of(layer.QueryNorm?.Value), Of(layer.KeyNorm?.Value),
            Typed(layer.Output), Of(layer.FeedForwardNorm), Typed(layer.FeedForwardGate), Typed(layer.FeedForwardValue),
            Typed(layer.FeedForwardOutput), state.Ring.Keys.Slots.Address, state.Ring.Values.Slots.Address,
            Of(state.Ring.Alpha?.Slots), Of(state.PreviousKey), Of(state.PreviousValue),
        ];
    }

    /// <summary>How a model is dealt to blocks, and where a block's shared memory has what.</summary>
    private readonly record struct Plan(
        int Blocks, int Heads, int Splits, int Ring, int Output, int Gate, int Value, int End, int Table, int SharedBytes, int Slots,
        long ExchangeBytes)
    {
        public static Plan? For(ModelConfig config, CudaDevice device)
        {
            int width = config.Width, hidden = config.FeedForwardWidth, size = config.HeadSize;
            int blocks = Math.Min(device.Multiprocessors, hidden / 2);
            int group = config.Heads / config.KeyHeads, slices = RowLaunch.Quotient(group, MostHeads), heads = RowLaunch.Quotient(group, slices);
            int tiles = RowLaunch.Quotient(config.Window!.Value, TileKeys);
            int splits = RowLaunch.Quotient(tiles, Warps);
            if (splits > MostSplits || config.KeyHeads * slices * splits > blocks) return null;

            int keyWidth = config.KeyHeads * size;
            int projected = width + (2 * keyWidth) + (config.TokenShift ? 2 * config.KeyHeads : 0);
            int projectionRows = RowLaunch.Quotient(projected, blocks), streamRows = RowLaunch.Quotient(width, blocks);
            int hiddenRows = 2 * RowLaunch.Quotient(hidden / 2, blocks);
            if (Math.Max(Math.Max(projectionRows, streamRows), hiddenRows) > Threads) return null;

            int Rounded(long bytes) => checked((int)(RowLaunch.Quotient(bytes, RoomAlignment) * RoomAlignment));
            int norm = width * sizeof(float), partWords = config.Heads * splits * (size + PartWords);
            int ring = Rounded((projectionRows * Pitch(width)) + norm + (config.Gate ? 2L * heads * norm : 0));
            int output = ring + Rounded((2L * Warps * TileKeys * size * ElementBytes) + ((heads + 1L) * size * sizeof(float)) + ((keyWidth + size) * ElementBytes));
            int gate = output + Rounded(streamRows * Pitch(width));
            int value = gate + Rounded((2L * hiddenRows * Pitch(width)) + norm);
            int end = value + Rounded(streamRows * Pitch(hidden));
            long slot = TileRows * width * ElementBytes;
            int slots = (int)Math.Min(MostSlots, end / slot);
            int mostRows = RowLaunch.Quotient(Math.Max(Math.Max(projectionRows, streamRows), 2 * hiddenRows), TileRows) * TileRows;
            int sliceSteps = RowLaunch.Quotient(Steps(width), Warps), hiddenSteps = RowLaunch.Quotient(Steps(hidden), Warps);
            int sliceHeads = RowLaunch.Quotient((sliceSteps * StepFeatures) - 1, size) + 1;
            int words = (2 * Warps * (mostRows + 1)) + (8 * Warps) + (Warps * Math.Max(sliceSteps, hiddenSteps / 2 + 1) * StepFeatures) +
                (Warps * sliceHeads * splits * (size + PartWords)) + projected + (2 * config.Heads) +
                (heads * ((size * (1 + Warps)) + (4 * Warps) + 2)) + size + (2 * Warps);
            int table = end + Rounded((words * sizeof(float)) + (2 * (5 + slots) * BarrierBytes) + RoomAlignment);
            long shared = table + ((long)config.Layers * PointersOfLayer * sizeof(long));
            if (slots < 2 || shared > device.MaxSharedBytes) return null;

            long pairs = projected + 1 + (Copies * (partWords + (2 * width) + (hidden / 2L))) + 1;
            return new Plan(
                blocks, heads, splits, ring, output, gate, value, end, table, (int)shared, slots, pairs * 2 * sizeof(int));
        }

        private static int Steps(int features) => RowLaunch.Quotient(features, StepFeatures);

        /// <summary>Bytes from row to row: an odd number of 64, so that eight rows lie in different banks.</summary>
        private static long Pitch(int features) => (Steps(features) | 1) * StepFeatures * ElementBytes;
    }
}
