using System.Runtime.CompilerServices;
using GatedFwa.Attention.Kernels;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Tensors.Memory;

namespace GatedFwa.Attention;

/// <summary>
/// The choice of a run of queries of one key head: the means of blocks come by once, 64 at a time; each query keeps the best seen so
/// far. Nothing as large as queries × blocks is ever written.
/// </summary>
internal sealed unsafe class BlockCompetition<V, S>
    where V : struct
    where S : struct, ISimd<V>
{
    // With every head of a group these are some tiles of rows, for which packing a tile of means is worth its while.
    private const int TokensPerItem = 64;

    private readonly NativeSparseProblem _problem;
    private readonly SelectionOperands _operands;
    private readonly SegmentBlocks _blocks;
    private readonly int _keyHead, _first, _end, _headSize, _paddedSize, _group;
    private readonly BestBlocks[] _best;
    private float* _queries, _lseLog2, _means, _meansTransposed, _p, _importance;

    private BlockCompetition(NativeSparseProblem problem, SelectionOperands operands, SegmentBlocks blocks, int keyHead, int first, int end)
    {
        (_problem, _operands, _blocks, _keyHead, _first, _end) = (problem, operands, blocks, keyHead, first, end);
        _headSize = problem.Shape.HeadSize;
        _paddedSize = Tile.PaddedSize(_headSize, S.Width);
        _group = problem.Shape.GroupSize;
        _best = new BestBlocks[end - first];
    }

    // Rows, a whole number of tiles: the last may be short.
    private int RowTiles => (((_end - _first) * _group) + Tile.Size - 1) / Tile.Size;

    private int TileFloats => Tile.Size * _paddedSize;

    public static void Run(NativeSparseProblem problem, SelectionOperands operands)
    {
        var items = new List<BlockCompetition<V, S>>();
        foreach (SegmentBlocks blocks in problem.Blocks.Segments)
        {
            (int first, int end) = problem.Queries(blocks);
            for (int keyHead = 0; keyHead < problem.Shape.KeyHeads; keyHead++)
            {
                for (int token = first; token < end; token += TokensPerItem)
                    items.Add(new(problem, operands, blocks, keyHead, token, Math.Min(end, token + TokensPerItem)));
            }
        }

        WorkerPool.Shared.For(items.Count, i => items[^(i + 1)].Run());
    }

    private void Run()
    {
        // Nobody competes before there are blocks besides those that come before all others.
        int competing = _blocks.Own(_end - 1) - 1, room = competing > 1 ? Math.Max(0, _problem.BlockCount - BestBlocks.Forced) : 0;
        using CpuStorage? choices = room == 0 ? null : CpuMemory.Rent(2L * _best.Length * room);
        for (int i = 0; i < _best.Length; i++)
        {
            int* blocks = choices is null ? null : (int*)choices.Pointer + (i * room);
            float* importance = choices is null ? null : choices.Floats + ((_best.Length + i) * room);
            _best[i] = new BestBlocks(_blocks.Own(_first + i), _problem.BlockCount, blocks, importance);
        }

        if (room > 0) Compete(competing);
        long row = (((long)_blocks.Segment.Batch * _problem.Shape.KeyHeads) + _keyHead) * _problem.Shape.Tokens;
        int query = _blocks.Segment.Start + _first - _problem.FirstQuery;
        for (int i = 0; i < _best.Length; i++)
            _best[i].Write(new Span<int>(_operands.Indices + ((row + query + i) * _problem.BlockCount), _problem.BlockCount));
    }

    private void Compete(int blocks)
    {
        using CpuStorage scratch = CpuMemory.Rent(
            ((RowTiles + 2L) * TileFloats) + (RowTiles * Tile.Size) + (Tile.Size * Tile.Size) + (TokensPerItem * Tile.Size));
        _queries = scratch.Floats;
        _means = _queries + ((long)RowTiles * TileFloats);
        _meansTransposed = _means + TileFloats;
        _p = _meansTransposed + TileFloats;
        _importance = _p + (Tile.Size * Tile.Size);
        _lseLog2 = _importance + (TokensPerItem * Tile.Size);
        PackQueries();
        for (int first = 0; first < blocks; first += Tile.Size)
        {
            int count = Math.Min(Tile.Size, blocks - first);
            float* means = _operands.PooledK.At(_blocks.Segment.Batch, _blocks.FirstPooled + first, _keyHead);
            TilePacking<V, S>.Pack(means, _operands.PooledK.RowStride, count, _headSize, 1, _means);
            TilePacking<V, S>.Transpose(_means, _headSize, _meansTransposed);
            new Span<float>(_importance, TokensPerItem * Tile.Size).Clear();
            for (int tile = 0; tile < RowTiles; tile++) AddProbabilities(tile);
            for (int i = 0; i < _best.Length; i++) _best[i].Offer(new ReadOnlySpan<float>(_importance + (i * Tile.Size), count), first);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void PackQueries()
    {
        float factor = (float)(_problem.Scale * Units.Log2E);
        int rows = (_end - _first) * _group;
        // A row that is not there has no probability.
        new Span<float>(_queries, RowTiles * TileFloats).Clear();
        new Span<float>(_lseLog2, RowTiles * Tile.Size).Fill(float.PositiveInfinity);
        for (int row = 0; row < rows; row++)
        {
            (int token, int member) = Math.DivRem(row, _group);
            (int batch, int head, int query) =
                (_blocks.Segment.Batch, (_keyHead * _group) + member, _blocks.Segment.Start + _first + token - _problem.FirstQuery);
            TilePacking<V, S>.PackRow(_operands.Q.At(batch, query, head), _headSize, factor, _queries + ((long)row * _paddedSize));
            float lse = _operands.Lse[((((long)batch * _problem.Shape.Heads) + head) * _problem.Shape.Tokens) + query];
            // Before the first complete block there is nothing to compete.
            _lseLog2[row] = float.IsNegativeInfinity(lse) ? float.PositiveInfinity : (float)(lse * Units.Log2E);
        }
    }

    /// <summary>importance[token] += the probabilities of each of its heads.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void AddProbabilities(int tile)
    {
        int vectors = Tile.MaxVectors(S.Width);
        float* queries = _queries + ((long)tile * TileFloats);
        for (int panel = 0; panel < Tile.Size; panel += vectors * S.Width)
        {
            for (int row = 0; row < Tile.Size; row += Tile.BlockRows)
            {
                var kernel = new Probabilities<V, S>
                {
                    Scores = new()
                    {
                        HeadSize = _headSize,
                        Queries = queries + (row * _paddedSize),
                        RowStride = _paddedSize,
                        KeysTransposed = _meansTransposed + panel,
                    },
                    LseLog2 = _lseLog2 + (tile * Tile.Size) + row,
                    P = _p + (row * Tile.Size) + panel,
                };
                TileKernel.Run(ref kernel, Math.Min(Tile.BlockRows, Tile.Size - row), vectors);
            }
        }

        int first = tile * Tile.Size, rows = Math.Min(Tile.Size, ((_end - _first) * _group) - first);
        for (int row = 0; row < rows; row++)
        {
            float* sum = _importance + ((first + row) / _group * Tile.Size), p = _p + (row * Tile.Size);
            for (int i = 0; i < Tile.Size; i += S.Width) S.Store(S.Add(S.Load(sum + i), S.Load(p + i)), sum + i);
        }
    }
}
