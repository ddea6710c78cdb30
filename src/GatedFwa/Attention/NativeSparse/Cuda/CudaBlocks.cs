using System.Runtime.InteropServices;
using GatedFwa.Tensors;
using GatedFwa.Tensors.Cuda;

namespace GatedFwa.Attention;

/// <summary>Where documents and their blocks lie, as kernels read it. Nothing is uploaded where every row of the batch is one.</summary>
internal sealed class CudaBlocks : IDisposable
{
    private const int Fields = 4;

    private readonly List<CudaStorage> _storage = [];
    private readonly NativeSparseProblem _problem;
    private readonly CudaDevice _device;
    private readonly bool _isDense;

    public CudaBlocks(NativeSparseProblem problem, CudaDevice device)
    {
        (_problem, _device) = (problem, device);
        _isDense = problem.CoversEverything && problem.Blocks.Segments.Length == problem.Shape.Batch;
        PerHead = problem.Blocks.Segments.Sum(blocks => blocks.Count);
        PerRow = ((problem.Shape.Positions - 1) / problem.BlockSize) + 1;
    }

    /// <summary>Blocks of all documents, the unfilled ones included: lists of queries of a key head.</summary>
    public int PerHead { get; }

    /// <summary>Blocks of a row of the batch where rows are documents.</summary>
    public int PerRow { get; }

    /// <summary>I32 [B, S, 4]: start and end of each position's document, its first pooled row in its row of the batch, its first block
    /// among all; in padding the start is S. None where rows are dense.</summary>
    public CudaStorage? Documents() => _isDense ? null : Upload(PositionDocuments());

    /// <summary>I32 [blocks, 4]: row of the batch, start and end of the document, first position. None where rows are dense.</summary>
    public CudaStorage? Blocks()
    {
        if (_isDense) return null;
        var table = new List<int>();
        foreach (SegmentBlocks blocks in _problem.Blocks.Segments)
        {
            for (int block = 0; block < blocks.Count; block++)
                table.AddRange([blocks.Segment.Batch, blocks.Segment.Start, blocks.Segment.End, blocks.Segment.Start + blocks.Tokens(block).First]);
        }

        return Upload([.. table]);
    }

    /// <summary>I32 [B, C]: the position where the block of each pooled row begins; −1 where it has none. None where rows are dense.</summary>
    public CudaStorage? PooledStarts()
    {
        if (_isDense) return null;
        var starts = new int[_problem.Shape.Batch * _problem.Blocks.PooledRows];
        Array.Fill(starts, -1);
        foreach (SegmentBlocks blocks in _problem.Blocks.Segments)
        {
            for (int block = 0; block < blocks.Complete; block++)
                starts[(blocks.Segment.Batch * _problem.Blocks.PooledRows) + blocks.FirstPooled + block] = blocks.Segment.Start + blocks.Tokens(block).First;
        }

        return Upload(starts);
    }

    /// <summary>Puts a table into the GPU's memory, until this is disposed.</summary>
    public CudaStorage Upload(int[] values)
    {
        CudaStorage storage = _device.Memory.Rent(Math.Max(1L, values.Length) * sizeof(int));
        _storage.Add(storage);
        storage.CopyFromHost(MemoryMarshal.AsBytes(values.AsSpan()), 0);
        return storage;
    }

    public void Dispose() => _storage.ForEach(storage => storage.Dispose());

    private int[] PositionDocuments()
    {
        int positions = _problem.Shape.Positions, firstBlock = 0;
        var documents = new int[(long)_problem.Shape.Batch * positions * Fields];
        for (int i = 0; i < documents.Length; i += Fields) documents[i] = positions;
        foreach (SegmentBlocks blocks in _problem.Blocks.Segments)
        {
            (int batch, int start, int end) = blocks.Segment;
            for (int position = start; position < end; position++)
                new[] { start, end, blocks.FirstPooled, firstBlock }.CopyTo(documents, ((batch * positions) + position) * Fields);
            firstBlock += blocks.Count;
        }

        return documents;
    }
}
