using GatedFwa.Tensors;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Tensors.Memory;

namespace GatedFwa.Attention;

/// <summary>
/// The choice turned round: for each block of each document and key head the tokens that chose it, ascending. With it a pass over
/// blocks touches only the queries that matter. Made by a counting sort, always in the same order.
/// </summary>
internal sealed unsafe class SelectedQueries : IDisposable
{
    private readonly int _keyHeads, _count;
    private readonly int[] _firstOffset;
    private readonly long[] _firstToken;
    private readonly CpuStorage _offsets, _tokens;

    /// <summary>Sorts.</summary>
    /// <param name="problem">Extents and blocks.</param>
    /// <param name="indices">I32 [B, Hkv, T, n].</param>
    public SelectedQueries(NativeSparseProblem problem, Tensor indices)
    {
        ReadOnlySpan<SegmentBlocks> documents = problem.Blocks.Segments;
        (_keyHeads, _count) = (problem.Shape.KeyHeads, problem.BlockCount);
        _firstOffset = new int[documents.Length + 1];
        _firstToken = new long[documents.Length + 1];
        for (int i = 0; i < documents.Length; i++)
        {
            (int first, int end) = problem.Queries(documents[i]);
            _firstOffset[i + 1] = _firstOffset[i] + documents[i].Count + 1;
            _firstToken[i + 1] = _firstToken[i] + ((long)Math.Max(0, end - first) * _count);
        }

        _offsets = CpuMemory.Rent((long)_firstOffset[^1] * _keyHeads);
        _tokens = CpuMemory.Rent(_firstToken[^1] * _keyHeads);
        WorkerPool.Shared.For(documents.Length * _keyHeads, list => Sort(problem, indices.Integers, list / _keyHeads, list % _keyHeads));
    }

    /// <summary>The tokens that chose a block.</summary>
    public ReadOnlySpan<int> Of(int document, int keyHead, int block)
    {
        int* offsets = Offsets(document, keyHead);
        return new(Tokens(document, keyHead) + offsets[block], offsets[block + 1] - offsets[block]);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _offsets.Dispose();
        _tokens.Dispose();
    }

    private void Sort(NativeSparseProblem problem, int* indices, int document, int keyHead)
    {
        SegmentBlocks blocks = problem.Blocks.Segments[document];
        (int first, int end) = problem.Queries(blocks);
        int* offsets = Offsets(document, keyHead), tokens = Tokens(document, keyHead);
        long row = ((long)blocks.Segment.Batch * _keyHeads) + keyHead;
        int* choices = indices + (((row * problem.Shape.Tokens) + blocks.Segment.Start + first - problem.FirstQuery) * _count);
        long length = (long)Math.Max(0, end - first) * _count;

        // Count each block one place on; sum up to where each begins, two places on; fill, which moves every beginning one back.
        new Span<int>(offsets, blocks.Count + 1).Clear();
        for (long i = 0; i < length; i++)
        {
            if (choices[i] >= 0 && choices[i] + 1 < blocks.Count) offsets[choices[i] + 2]++;
        }

        for (int block = 2; block <= blocks.Count; block++) offsets[block] += offsets[block - 1];
        for (int token = first; token < end; token++, choices += _count)
        {
            for (int i = 0; i < _count; i++)
            {
                if (choices[i] >= 0) tokens[offsets[choices[i] + 1]++] = token;
            }
        }
    }

    private int* Offsets(int document, int keyHead)
    {
        long first = _firstOffset[document], each = _firstOffset[document + 1] - first;
        return (int*)_offsets.Pointer + (first * _keyHeads) + (each * keyHead);
    }

    private int* Tokens(int document, int keyHead)
    {
        long first = _firstToken[document], each = _firstToken[document + 1] - first;
        return (int*)_tokens.Pointer + (first * _keyHeads) + (each * keyHead);
    }
}
