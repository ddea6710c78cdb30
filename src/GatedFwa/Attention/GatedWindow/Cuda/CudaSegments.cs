using System.Runtime.InteropServices;
using GatedFwa.Attention.Kernels;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Attention;

/// <summary>Where segments lie, as kernels read it. Nothing is uploaded where every row of the batch is one.</summary>
internal sealed class CudaSegments : IDisposable
{
    private readonly List<CudaStorage> _storage = [];

    public CudaSegments(GatedWindowProblem problem, CudaDevice device)
    {
        GatedWindowShape shape = problem.Shape;
        bool isDense = problem.CoversEverything && problem.Segments.Length == shape.Batch;
        int tilesPerRow = (shape.Positions + Tile.Size - 1) / Tile.Size, firstQueryTile = problem.FirstQuery / Tile.Size;
        if (isDense)
        {
            Keys = new CudaTiles(null, 0, tilesPerRow, shape.Batch * tilesPerRow);
            Queries = new CudaTiles(null, firstQueryTile, tilesPerRow - firstQueryTile, shape.Batch * (tilesPerRow - firstQueryTile));
            return;
        }

        Starts = Upload(device, PositionStarts(problem));
        (int[] first, int[] end) = PositionBounds(problem);
        Bounds = (Upload(device, first), Upload(device, end));
        Keys = List(device, problem, 0);
        Queries = List(device, problem, problem.FirstQuery);
    }

    /// <summary>I32 [B, S]: where each position's segment starts, <see cref="int.MaxValue"/> in padding; none where rows are dense.</summary>
    public CudaStorage? Starts { get; }

    /// <summary>
    /// I32 [B, S]: the first position of each position's segment, and one past its last; none where rows are dense. Padding belongs
    /// to nothing, but begins where the text behind it does: along a row neither ever decreases, so that a tile's bounds are those of
    /// its first and last rows.
    /// </summary>
    public (CudaStorage First, CudaStorage End)? Bounds { get; }

    /// <summary>All tiles.</summary>
    public CudaTiles Keys { get; }

    /// <summary>Those with a query in them.</summary>
    public CudaTiles Queries { get; }

    public void Dispose() => _storage.ForEach(storage => storage.Dispose());

    /// <summary>[B, S]: where each position's segment starts.</summary>
    internal static int[] PositionStarts(GatedWindowProblem problem)
    {
        var starts = new int[(long)problem.Shape.Batch * problem.Shape.Positions];
        Array.Fill(starts, int.MaxValue);
        foreach (Segment segment in problem.Segments)
            starts.AsSpan((segment.Batch * problem.Shape.Positions) + segment.Start, segment.Length).Fill(segment.Start);
        return starts;
    }

    /// <summary>[B, S]: see <see cref="Bounds"/>.</summary>
    internal static (int[] First, int[] End) PositionBounds(GatedWindowProblem problem)
    {
        int positions = problem.Shape.Positions;
        int[] first = new int[(long)problem.Shape.Batch * positions], end = new int[first.Length];
        Array.Fill(first, positions);
        foreach (Segment segment in problem.Segments)
        {
            Span<int> row = first.AsSpan(segment.Batch * positions, positions);
            for (int i = segment.Start - 1; i >= 0 && row[i] == positions; i--) row[i] = segment.Start;
            row[segment.Start..segment.End].Fill(segment.Start);
            end.AsSpan((segment.Batch * positions) + segment.Start, segment.Length).Fill(segment.End);
        }

        return (first, end);
    }

    /// <summary>Batch, start, end and first position of every tile with a position from <paramref name="first"/> on.</summary>
    internal static int[] TileList(GatedWindowProblem problem, int first)
    {
        var tiles = new List<int>();
        foreach (Segment segment in problem.Segments)
        {
            int skipped = Math.Max(0, first - segment.Start) / Tile.Size * Tile.Size;
            for (int tile = segment.Start + skipped; tile < segment.End; tile += Tile.Size)
                tiles.AddRange([segment.Batch, segment.Start, segment.End, tile]);
        }

        return [.. tiles];
    }

    private CudaTiles List(CudaDevice device, GatedWindowProblem problem, int first)
    {
        const int Fields = 4;
        int[] tiles = TileList(problem, first);
        return new(Upload(device, tiles), 0, 0, tiles.Length / Fields);
    }

    private CudaStorage Upload(CudaDevice device, int[] values)
    {
        CudaStorage storage = device.Memory.Rent((long)values.Length * sizeof(int));
        _storage.Add(storage);
        storage.CopyFromHost(MemoryMarshal.AsBytes(values.AsSpan()), 0);
        return storage;
    }
}

/// <summary>The tiles of a launch: a list of them, or numbers from which a kernel computes them.</summary>
/// <param name="List">I32 [count, 4], or none.</param>
/// <param name="First">The first tile of every row, without a list.</param>
/// <param name="PerRow">Tiles of a row, without a list.</param>
/// <param name="Count">All of them.</param>
internal readonly record struct CudaTiles(CudaStorage? List, int First, int PerRow, int Count);
