using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;
using GatedFwa.Tensors.Operations;

namespace GatedFwa.Attention;

/// <summary>How many keys a block keeps, and what goes past them.</summary>
internal readonly record struct KeyTileCuda(int Keys, int Rows, int Stages, int Columns, int Splits, int SharedBytes, bool IsHopper = false)
{
    private const int HopperKeys = 64, HopperStages = 2, Panel = 64, Padding = 8, RowTermsBytes = ListedAttentionCuda.TermsBytes;

    /// <summary>Finds the tile.</summary>
    /// <param name="shape">The extents.</param>
    /// <param name="type">Of activations.</param>
    /// <param name="blockSize">Keys that are chosen together.</param>
    /// <param name="device">What it must fit.</param>
    public static KeyTileCuda Of(GatedWindowShape shape, DType type, int blockSize, CudaDevice device)
    {
        // A thread has registers for 128 columns of dk and dv.
        int splits = shape.HeadSize > 128 ? 2 : 1, columns = RoundUp(shape.HeadSize, 16 * splits);
        int most = Math.Min(64, RoundUp(Math.Min(blockSize, 64), 16));
        if (device.Architecture == GatedWindowHopper.Hopper && type != DType.F32 && splits == 1 && most == HopperKeys)
        {
            int width = RoundUp(shape.HeadSize, Panel), rows = HopperKeys * (1 + HopperStages);
            int bytes = (2 * rows * width * type.Bytes()) + (HopperStages * HopperKeys * (RowTermsBytes + sizeof(int)));
            return new(HopperKeys, HopperKeys, HopperStages, width, splits, bytes, IsHopper: true);
        }

        KeyTileCuda Tile(int keys, int rows, int stages)
        {
            int row = RowBytes(shape, type, 16 * splits);
            int bytes = (2 * keys * row) + (stages * rows * ((2 * row) + RowTermsBytes)) + (2 * rows * sizeof(int));
            return new(keys, rows, stages, columns, splits, bytes);
        }

        KeyTileCuda[] choices = [Tile(most, 32, 3), Tile(most, 32, 2), Tile(Math.Min(most, 32), 32, 2), Tile(16, 16, 2)];
        // Two blocks a multiprocessor where that is possible.
        return Array.Find(choices, tile => tile.SharedBytes <= device.MaxSharedBytes) is { Keys: > 0 } found ? found : choices[^1];
    }

    /// <summary>The next multiple of a step.</summary>
    public static int RoundUp(int size, int step) => (size + step - 1) / step * step;

    /// <summary>A row of a tile in shared memory.</summary>
    /// <param name="shape">The extents.</param>
    /// <param name="type">Of activations.</param>
    /// <param name="step">Columns that products take at a time.</param>
    public static int RowBytes(GatedWindowShape shape, DType type, int step) => (RoundUp(shape.HeadSize, step) + Padding) * type.Bytes();

    /// <summary>What kernels are compiled with.</summary>
    public KernelDefine[] Defines(GatedWindowShape shape, DType type, bool isSelected) =>
    [
        KernelDefine.Element(type), ("HEAD_SIZE", shape.HeadSize), ("COLUMNS", Columns), ("SPLITS", Splits), ("GROUP", shape.GroupSize),
        ("KEYS", Keys), ("ROWS", Rows), ("STAGES", Stages), ("PIECE", KeyWork.Piece), ("SELECTED", isSelected),
        ("PANELS", RowLaunch.Quotient(shape.HeadSize, Panel)),
    ];
}
