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
        Ends = Upload(device, PositionEnds(problem));
        Keys = List(device, problem, 0);
        Queries = List(device, problem, problem.FirstQuery);
    }

    /// <summary>
    /// I32 [B, S]: where each position's segment starts; none where rows are dense. In padding it is the start of the next one (S
    /// where there is none): nothing lies between that and the position, and a tile whose first row is padding still finds its keys.
    /// </summary>
    public CudaStorage? Starts { get; }

    /// <summary>I32 [B, S]: one past the last position of each position's segment; none where rows are dense.</summary>
    public CudaStorage? Ends { get; }

    /// <summary>All tiles.</summary>
    public CudaTiles Keys { get; }

    /// <summary>Those with a query in them.</summary>
    public CudaTiles Queries { get; }

    public void Dispose() => _storage.ForEach(storage => storage.Dispose());

    /// <summary>[B, S]: where each position's segment starts; in padding, where the next one does.</summary>
    internal static int[] PositionStarts(GatedWindowProblem problem)
    {
        int positions = problem.Shape.Positions;
        var starts = new int[(long)problem.Shape.Batch * positions];
        Array.Fill(starts, positions);
        int batch = -1, covered = 0;
        foreach (Segment segment in problem.Segments)
        {
            if (segment.Batch != batch) (batch, covered) = (segment.Batch, 0);
            starts.AsSpan((batch * positions) + covered, segment.End - covered).Fill(segment.Start);
            covered = segment.End;
        }

        return starts;
    }

    /// <summary>[B, S]: one past the last position of each position's segment; 0 in padding.</summary>
    internal static int[] PositionEnds(GatedWindowProblem problem)
    {
        var ends = new int[(long)problem.Shape.Batch * problem.Shape.Positions];
        foreach (Segment segment in problem.Segments)
            ends.AsSpan((segment.Batch * problem.Shape.Positions) + segment.Start, segment.Length).Fill(segment.End);
        return ends;
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
internal readonly record struct CudaTiles(CudaStorage? List, int First, int PerRow, int Count)
{
    /// <summary>The last arguments of every kernel that walks them: the tiles, the scale and the extents.</summary>
    /// <param name="problem">What has passed the door.</param>
    /// <param name="scale">The problem's, in the unit that the kernel counts scores in.</param>
    public KernelArgument[] Walk(GatedWindowProblem problem, float scale)
    {
        GatedWindowShape shape = problem.Shape;
        return [List, First, PerRow, scale, shape.Tokens, shape.Positions, shape.Batch * shape.Heads, shape.Heads, shape.GroupSize, problem.Window];
    }
}
