using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;
using GatedFwa.Tensors.Operations;

namespace GatedFwa.Attention;

/// <summary>
/// Which queries go past which keys in the backward pass, cut into pieces of about the same length; where keys have several pieces, each
/// has a slot for its share of the sums.
/// </summary>
internal sealed class KeyWork : IDisposable
{
    /// <summary>Queries that a block of threads takes of the list of those that chose a block of keys.</summary>
    public const int Piece = 2048;

    // Of the queries that see pooled rows: so many shares of a document, but none smaller than that.
    private const int ShareOfDocument = 64, LeastShare = 512;
    private const int Threads = 256, PieceThreads = 1024;

    private static readonly KernelSource Source = new(typeof(KeyWork), "key_lists.cu");

    private readonly List<IDisposable> _owned = [];

    private KeyWork()
    {
    }

    /// <summary>Blocks of threads that are enough.</summary>
    public int Pieces { get; private init; }

    /// <summary>Parts of a block of keys that threads take one by one.</summary>
    public int Parts { get; private init; } = 1;

    /// <summary>Lists of all key heads; or runs of pooled rows of one.</summary>
    public int Lists { get; private init; }

    /// <summary>Slots that are enough.</summary>
    public long Slots { get; private init; }

    /// <summary>Of pooled rows.</summary>
    public int SlotsPerHead { get; private init; }

    /// <summary>I32: the choices of all queries, by block, those of a block by query.</summary>
    public CudaStorage? Order { get; private init; }

    /// <summary>I32 [lists + 1]: where each list begins.</summary>
    public CudaStorage? Starts { get; private init; }

    /// <summary>I32 [lists + 1]: where the pieces of each list begin.</summary>
    public CudaStorage? FirstPieces { get; private init; }

    /// <summary>I32 [lists + 1]: where the slots of each list begin.</summary>
    public CudaStorage? FirstSlots { get; private init; }

    /// <summary>Where the keys of a list, or of a piece of pooled rows, lie.</summary>
    public CudaStorage? Table { get; private init; }

    /// <summary>Where the keys of a list, or of a run of pooled rows, lie.</summary>
    public CudaStorage? SumTable { get; private init; }

    /// <summary>For each block of keys the queries that chose it: found on the GPU, by sorting the choices.</summary>
    /// <param name="problem">Extents and blocks.</param>
    /// <param name="blocks">Owns what is uploaded.</param>
    /// <param name="documents">Of positions, or none.</param>
    /// <param name="indices">I32 [B, Hkv, T, n].</param>
    /// <param name="keys">That a block of threads keeps.</param>
    public static KeyWork Listed(NativeSparseProblem problem, CudaBlocks blocks, CudaStorage? documents, Tensor indices, int keys)
    {
        CudaDevice device = indices.Cuda;
        int count = checked((int)indices.Count), lists = checked(problem.Shape.KeyHeads * blocks.PerHead);
        using Tensor numbers = Tensor.Empty([count], DType.I32, indices.Device);
        device.Kernel(Source, "list_numbers").Launch(
            RowLaunch.Over(count),
            indices,
            documents,
            numbers,
            (long)count,
            lists,
            blocks.PerHead,
            problem.Shape.Tokens,
            problem.Shape.Positions,
            problem.Shape.KeyHeads,
            problem.BlockSize,
            problem.BlockCount);
        var sorted = new SortedTokens(numbers, lists);
        CudaStorage Offsets() => device.Memory.Rent((lists + 1L) * sizeof(int));
        CudaStorage starts = Offsets(), pieces = Offsets(), slots = Offsets();
        device.Kernel(Source, "list_starts").Launch(new LaunchShape(RowLaunch.Quotient(count + 1, Threads), Threads), sorted.Tokens, starts, count, lists);
        device.Kernel(Source, "list_pieces").Launch(new LaunchShape(1, PieceThreads), starts, pieces, slots, lists, Piece);
        CudaStorage? table = blocks.Blocks();
        int mostCuts = count / Piece; // A list of x entries has at most x / Piece pieces more than one, and is cut if it has more than Piece.
        var work = new KeyWork
        {
            Pieces = checked(lists + mostCuts),
            Parts = RowLaunch.Quotient(problem.BlockSize, keys),
            Lists = lists,
            Slots = mostCuts + Math.Min(lists, mostCuts),
            Order = sorted.Order,
            Starts = starts,
            FirstPieces = pieces,
            FirstSlots = slots,
            Table = table,
            SumTable = table,
        };
        work._owned.AddRange([sorted, starts, pieces, slots]);
        return work;
    }

    /// <summary>For each run of pooled rows the queries that come late enough to see any: known to the host.</summary>
    /// <param name="problem">Extents and blocks.</param>
    /// <param name="blocks">Owns what is uploaded.</param>
    /// <param name="keys">That a block of threads keeps.</param>
    public static KeyWork Pooled(NativeSparseProblem problem, CudaBlocks blocks, int keys)
    {
        List<int> table = [], sums = [];
        int slots = 0;
        foreach (SegmentBlocks document in problem.Blocks.Segments)
        {
            (int batch, int start, int end) = document.Segment;
            int share = Math.Max(LeastShare, document.Segment.Length / ShareOfDocument);
            for (int first = 0; first < document.Complete; first += keys)
            {
                int origin = start + document.Tokens(first).First, lastQuery = end - problem.FirstQuery;
                int firstQuery = Math.Min(lastQuery, Math.Max(0, origin + problem.BlockSize - 1 - problem.FirstQuery));
                if (lastQuery < 0) firstQuery = lastQuery = 0;
                int pieces = Math.Max(1, RowLaunch.Quotient(lastQuery - firstQuery, share)), row = document.FirstPooled + first;
                int rows = Math.Min(keys, document.Complete - first), ownSlots = pieces > 1 ? pieces : 0;
                sums.AddRange([batch, row, rows, 0, slots, ownSlots, 0, 0]);
                for (int piece = 0; piece < pieces; piece++)
                {
                    int from = firstQuery + (piece * share);
                    table.AddRange([batch, row, rows, origin, from, Math.Min(lastQuery, from + share), ownSlots > 0 ? slots++ : -1, 0]);
                }
            }
        }

        const int Fields = 8;
        return new KeyWork
        {
            Pieces = table.Count / Fields,
            Lists = sums.Count / Fields,
            Slots = (long)slots * problem.Shape.KeyHeads,
            SlotsPerHead = slots,
            Table = blocks.Upload([.. table]),
            SumTable = blocks.Upload([.. sums]),
        };
    }

    public void Dispose() => _owned.ForEach(owned => owned.Dispose());
}
