using GatedFwa.Tensors;
using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Operations;

namespace GatedFwa.Layers;

/// <summary>
/// What several parameters make of one x. Where they are rows of one matrix (<see cref="Models.ParameterMemory"/>), it is one product
/// forwards and two backwards, whose columns the operations behind it read, and write the gradients of, in place.
/// </summary>
internal readonly struct Projections
{
    private readonly Tape _tape;
    private readonly Tensor _x;
    private readonly Tensor? _together;

    /// <summary>Projects x [B, T, C].</summary>
    /// <param name="tape">Owns the results and records the operations.</param>
    /// <param name="x">[B, T, C].</param>
    /// <param name="first">One of the parameters.</param>
    /// <param name="apart">Whether each result must lie by itself.</param>
    public Projections(Tape tape, Tensor x, Parameter first, bool apart = false)
    {
        (_tape, _x) = (tape, x);
        if (!apart && first.Value.Part is { } part) _together = Linear.Apply(tape, x, part.Whole);
    }

    /// <summary>x Wᵀ: [B, T, N]; to be asked for once.</summary>
    public Tensor Of(Parameter weight) =>
        _together is null ? Linear.Apply(_tape, _x, weight) : Columns(_together, weight, weight.Value.Shape[0]);

    /// <summary>Both in one, [B, T, 2N], where they are part of the one product; to be asked for once.</summary>
    /// <param name="weight">[N, C].</param>
    /// <param name="next">[N, C]: the rows that follow.</param>
    public Tensor? OfBoth(Parameter weight, Parameter next) =>
        _together is null ? null : Columns(_together, weight, weight.Value.Shape[0] + next.Value.Shape[0]);

    private Tensor Columns(Tensor together, Parameter first, int count) =>
        _tape.Columns(together, first.Value.Part!.First, [_x.Shape[0], _x.Shape[1], count]);
}
