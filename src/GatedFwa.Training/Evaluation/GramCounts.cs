using System.Numerics;

namespace GatedFwa.Training.Evaluation;

/// <summary>
/// How often each run of up to four bytes occurred: an open-addressing hash table, the hot entries of which stay in cache.
/// </summary>
internal sealed class GramCounts
{
    private uint[] _keys;
    private int[] _counts;
    private int _used;
    private int _shift;

    public GramCounts(int capacity = 1 << 16)
    {
        _keys = new uint[capacity];
        _counts = new int[capacity];
        _shift = 32 - BitOperations.Log2((uint)capacity);
    }

    public void Add(uint gram, int count = 1)
    {
        int slot = Find(gram);
        if (_counts[slot] == 0)
        {
            if (++_used > _keys.Length / 2)
            {
                Grow();
                slot = Find(gram);
            }

            _keys[slot] = gram;
        }

        _counts[slot] += count;
    }

    public int this[uint gram] => _counts[Find(gram)];

    public IEnumerable<(uint Gram, int Count)> Entries()
    {
        for (int i = 0; i < _keys.Length; i++)
        {
            if (_counts[i] > 0) yield return (_keys[i], _counts[i]);
        }
    }

    /// <summary>The slot of a gram, or the free one where it belongs.</summary>
    private int Find(uint gram)
    {
        int slot = (int)((gram * 0x9E3779B1) >> _shift);
        while (_counts[slot] != 0 && _keys[slot] != gram) slot = (slot + 1) & (_keys.Length - 1);
        return slot;
    }

    private void Grow()
    {
        (uint[] keys, int[] counts) = (_keys, _counts);
        _keys = new uint[keys.Length * 2];
        _counts = new int[keys.Length * 2];
        _shift--;
        for (int i = 0; i < keys.Length; i++)
        {
            if (counts[i] == 0) continue;
            int slot = Find(keys[i]);
            (_keys[slot], _counts[slot]) = (keys[i], counts[i]);
        }
    }
}
