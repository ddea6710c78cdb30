using GatedFwa.Attention.Kernels;
using GatedFwa.Tensors.Cpu;
using GatedFwa.Tensors.Memory;

namespace GatedFwa.Attention;

/// <summary>
/// Gradients of the keys that a work item's queries see but an earlier item owns. They are kept apart while items run side by side
/// and added afterwards in the items' order: the same bits for any number of threads.
/// </summary>
internal sealed unsafe class KeyGradientHalo<V, S> : IDisposable
    where V : struct
    where S : struct, ISimd<V>
{
    private readonly WorkItem _item;
    private readonly int _headSize, _padded, _group, _tiles;
    private readonly CpuStorage? _memory;

    public KeyGradientHalo(GatedWindowProblem problem, WorkItem item)
    {
        _item = item;
        _headSize = problem.Shape.HeadSize;
        _padded = Tile.PaddedSize(_headSize, S.Width);
        _group = problem.Shape.GroupSize;
        FirstKeyTile = problem.Visible.FirstKeyTile(item.FirstRow);
        bool isFirstOfSegment = item.FirstRow == Math.Max(0, problem.FirstQuery - item.Segment.Start);
        _tiles = isFirstOfSegment ? 0 : item.FirstRowTile - FirstKeyTile;
        if (_tiles > 0) _memory = CpuMemory.Rent((long)_tiles * TileFloats);
    }

    /// <summary>The first tile of keys that the item's queries see.</summary>
    public int FirstKeyTile { get; }

    private int GradientFloats => Tile.Size * _padded;

    private int TileFloats => (2 * GradientFloats) + (_group * Tile.Size);

    /// <summary>Whether another item owns a tile of keys.</summary>
    public bool Holds(int keyTile) => keyTile < FirstKeyTile + _tiles;

    /// <summary>Room for dk of a tile: [64, D in whole vectors].</summary>
    public float* KeyGradients(int keyTile) => _memory!.Floats + ((long)(keyTile - FirstKeyTile) * TileFloats);

    /// <summary>Room for dv of a tile: [64, D in whole vectors].</summary>
    public float* ValueGradients(int keyTile) => KeyGradients(keyTile) + GradientFloats;

    /// <summary>Room for dα of a tile and one head of the group: [64].</summary>
    public float* DecayGradients(int keyTile, int member) => ValueGradients(keyTile) + GradientFloats + (member * Tile.Size);

    /// <summary>Adds what the items kept to the gradients.</summary>
    public static void AddAll(KeyGradientHalo<V, S>[] halos, BackwardOperands operands)
    {
        // Items of one segment and head touch the same keys: one thread takes them in order.
        KeyGradientHalo<V, S>[][] runs = [.. halos.GroupBy(halo => (halo._item.Segment, halo._item.KeyHead)).Select(run => run.ToArray())];
        WorkerPool.Shared.For(runs.Length, i =>
        {
            foreach (KeyGradientHalo<V, S> halo in runs[i]) halo.AddTo(operands);
        });
    }

    public void Dispose() => _memory?.Dispose();

    private void AddTo(BackwardOperands operands)
    {
        (HeadRows dk, HeadRows dv, HeadRows dalpha) = (operands.Dk, operands.Dv, operands.Dalpha);
        for (int tile = FirstKeyTile; tile < FirstKeyTile + _tiles; tile++)
        {
            (int batch, int position) = (_item.Segment.Batch, _item.Segment.Start + (tile * Tile.Size));
            if (!dk.IsMissing)
            {
                TilePacking<V, S>.UnpackAdd(
                    KeyGradients(tile), Tile.Size, _headSize, 1, dk.At(batch, position, _item.KeyHead), dk.RowStride);
            }

            if (!dv.IsMissing)
            {
                TilePacking<V, S>.UnpackAdd(
                    ValueGradients(tile), Tile.Size, _headSize, 1, dv.At(batch, position, _item.KeyHead), dv.RowStride);
            }

            if (dalpha.IsMissing) continue;
            for (int member = 0; member < _group; member++)
            {
                float* kept = DecayGradients(tile, member);
                for (int i = 0; i < Tile.Size; i++) *dalpha.At(batch, position + i, (_item.KeyHead * _group) + member) += kept[i];
            }
        }
    }
}
