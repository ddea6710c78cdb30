using GatedFwa.Tensors.Autograd;
using GatedFwa.Tensors.Memory;
using GatedFwa.Tensors.Operations;
using GatedFwa.Testing;

namespace GatedFwa.Tensors.Tests.Autograd;

public sealed class TapeTests : TensorTest
{
    private static long Alive => DeviceMemory.Statistics(Device.Cpu).LiveBlocks;

    [Fact]
    public void Nothing_is_alive_after_a_tape_closes_but_what_it_did_not_own()
    {
        using var parameter = new Parameter("w", Tensor.From(Samples.Normal(8, 1), [8]));
        long before = Alive;
        using (var tape = new Tape())
        {
            Tensor x = tape.Own(Tensor.From(Samples.Normal(16, 2), [2, 8]));
            Tensor y = Add.Apply(tape, RmsNorm.Apply(tape, x, parameter), x);
            tape.Backward(Reduce.Mean(tape, SwiGlu.Apply(tape, tape.View(y, [16]), tape.View(y, [16]))));
            Assert.True(Alive > before);
        }

        Assert.Equal(before + 1, Alive); // the parameter's gradient
        Assert.Contains(parameter.Gradient.ToArray(), value => value != 0);
    }

    [Fact]
    public void A_tape_closed_between_forward_and_backward_leaks_nothing()
    {
        long before = Alive;
        using (var tape = new Tape())
        {
            Tensor x = tape.Watch(tape.Own(Tensor.From([1f, 2f], [2])));
            Add.Apply(tape, x, tape.View(tape.View(x, [2, 1]), [2]));
        }

        Assert.Equal(before, Alive);
    }

    [Fact]
    public void A_closed_tape_refuses_work()
    {
        var tape = new Tape();
        Tensor x = tape.Watch(tape.Own(Tensor.Zeros([1])));
        tape.Dispose();
        tape.Dispose();
        Assert.Throws<ObjectDisposedException>(() => tape.Backward(x));
        // Neither leaves a tensor behind.
        Assert.Throws<ObjectDisposedException>(() => tape.Own(Tensor.Zeros([1])));
        Assert.Throws<ObjectDisposedException>(() => tape.Allocate([1]));
    }

    [Fact]
    public void Records_only_what_leads_to_a_gradient()
    {
        using var tape = new Tape();
        Tensor x = tape.Own(Tensor.Zeros([2])), watched = tape.Watch(tape.Own(Tensor.Zeros([2])));
        Tensor constant = Add.Apply(tape, x, x);
        Assert.Empty(tape.Operations);
        Reduce.Sum(tape, Add.Apply(tape, constant, watched));
        Assert.Equal(["Add", "Sum"], tape.Operations);
        Assert.Contains("needs a gradient", Assert.Throws<InvalidOperationException>(() => tape.Backward(constant)).Message);
    }

    [Fact]
    public void An_inference_tape_records_nothing_and_gives_no_gradients()
    {
        using var tape = new Tape(recording: false);
        Tensor x = tape.Watch(tape.Own(Tensor.Zeros([2])));
        Tensor y = Add.Apply(tape, x, x);
        Assert.Empty(tape.Operations);
        Assert.Contains("inference", Assert.Throws<InvalidOperationException>(() => tape.Backward(y)).Message);
    }

    [Fact]
    public void A_scope_frees_its_intermediates_at_once_where_nothing_is_recorded()
    {
        using Tape inference = new(recording: false), training = new();
        using Tensor x = Tensor.From([1f, 2f], [2]);
        long before = Alive;
        Tensor result = inference.Scoped(() => Add.Apply(inference, Add.Apply(inference, x, x), Add.Apply(inference, x, x)));
        Assert.Equal(before + 1, Alive);
        Assert.Equal([4f, 8f], result.ToArray());

        before = Alive;
        training.Scoped(() => Add.Apply(training, Add.Apply(training, x, x), x));
        Assert.Equal(before + 2, Alive);
    }

    [Fact]
    public void A_scope_may_return_a_view_or_a_tensor_from_outside()
    {
        using var tape = new Tape(recording: false);
        Tensor x = tape.Own(Tensor.From([1f, 2f], [2]));
        Tensor view = tape.Scoped(() => tape.View(Add.Apply(tape, x, x), [2, 1]));
        Assert.Equal([2f, 4f], view.ToArray());
        Assert.Same(x, tape.Scoped(() =>
        {
            Add.Apply(tape, x, x);
            return x;
        }));
        Assert.Equal([1f, 2f], x.ToArray());
    }

    [Fact]
    public void A_scope_may_return_two_tensors_and_one_that_is_given_back_is_gone()
    {
        using var tape = new Tape(recording: false);
        Tensor x = tape.Own(Tensor.From([1f, 2f], [2]));
        long before = Alive;
        (Tensor sum, Tensor? twice) = tape.Scoped(x, x => (Add.Apply(tape, x, Add.Apply(tape, x, x)), (Tensor?)Add.Apply(tape, x, x)));
        Assert.Equal(before + 2, Alive);
        Assert.Equal([2f, 4f], twice!.ToArray());
        tape.GiveBack(twice);
        Assert.Equal(before + 1, Alive);
        Assert.Equal([3f, 6f], sum.ToArray());
        Assert.Equal((x, null), tape.Scoped(x, x => (x, (Tensor?)null)));
        Assert.Equal([1f, 2f], x.ToArray());
    }

    [Fact]
    public void Gradients_of_intermediates_are_given_back_during_the_backward_pass()
    {
        using var tape = new Tape();
        Tensor x = tape.Watch(tape.Own(Tensor.From(Samples.Normal(1000, 1), [1000])));
        Tensor y = x;
        for (int i = 0; i < 20; i++) y = SwiGlu.Apply(tape, y, x);
        DeviceMemory.ResetPeak(Device.Cpu);
        long before = DeviceMemory.Statistics(Device.Cpu).LiveBytes;
        tape.Backward(y);
        // The seed, the gradients of x and of two neighbours: not of all twenty.
        Assert.InRange(DeviceMemory.Statistics(Device.Cpu).PeakBytes - before, 4000, 4 * 4000);
    }

    [Fact]
    public void The_gradient_of_a_sum_is_handed_on_and_copied_only_for_whoever_adds_to_it()
    {
        using var tape = new Tape();
        Tensor a = tape.Watch(tape.Own(Tensor.From([1f, 2f], [2]))), b = tape.Watch(tape.Own(Tensor.From([3f, 4f], [2])));
        Tensor product = SwiGlu.Apply(tape, a, a); // its backward pass comes after the sum's
        Tensor sum = Add.Apply(tape, a, b);
        tape.Backward(Add.Apply(tape, product, sum), tape.Own(Tensor.From([10f, 20f], [2])));
        Assert.Equal([10f, 20f], tape.Gradient(b)!.ToArray());
        float[] ofProduct =
            Differentiated.Run([10f, 20f], (t, inputs) => SwiGlu.Apply(t, inputs[0], inputs[0]), ([1f, 2f], [2])).Gradients[0];
        Assert.Equal([10f + ofProduct[0], 20f + ofProduct[1]], tape.Gradient(a)!.ToArray());
    }

    [Fact]
    public unsafe void Both_terms_of_a_sum_share_one_gradient_while_nobody_adds()
    {
        using var tape = new Tape();
        Tensor a = tape.Watch(tape.Own(Tensor.Zeros([2]))), b = tape.Watch(tape.Own(Tensor.Zeros([2])));
        tape.Backward(Add.Apply(tape, a, b), seed: 3);
        Assert.Equal([3f, 3f], tape.Gradient(a)!.ToArray());
        Assert.Equal((nint)tape.Gradient(a)!.Floats, (nint)tape.Gradient(b)!.Floats);
    }

    [Fact]
    public void A_gradient_that_was_handed_in_may_be_changed_afterwards()
    {
        using var tape = new Tape();
        Tensor a = tape.Watch(tape.Own(Tensor.From([1f, 2f], [2]))), b = tape.Watch(tape.Own(Tensor.From([3f, 4f], [2])));
        Tensor sum = tape.Watch(Add.Apply(tape, a, tape.View(b, [2]))), upstream = tape.Own(Tensor.From([5f, 6f], [2]));
        tape.Backward(sum, upstream);
        upstream.CopyFrom([0f, 0f]);
        Assert.All([a, b, sum], tensor => Assert.Equal([5f, 6f], tape.Gradient(tensor)!.ToArray()));
    }

    [Fact]
    public void Gradients_flow_through_views_of_views()
    {
        using var tape = new Tape();
        Tensor x = tape.Watch(tape.Own(Tensor.From([1f, 2f, 3f, 4f], [4])));
        Tensor view = tape.View(tape.View(x, [2, 2]), [1, 4]);
        Tensor y = Add.Apply(tape, tape.View(view, [4]), x);
        tape.Backward(tape.View(y, [2, 2]), tape.Own(Tensor.From([1f, 2f, 3f, 4f], [2, 2])));
        Assert.Equal([2f, 4f, 6f, 8f], tape.Gradient(x)!.ToArray());
        Assert.Equal([1, 4], tape.Gradient(view)!.Shape);
    }

    [Fact]
    public void A_watched_view_or_intermediate_keeps_its_gradient()
    {
        using var tape = new Tape();
        Tensor x = tape.Own(Tensor.From([1f, 2f], [2]));
        Tensor view = tape.Watch(tape.View(x, [2, 1]));
        Tensor sum = tape.Watch(Add.Apply(tape, view, view));
        Tensor loss = Reduce.Sum(tape, sum);
        tape.Backward(loss, seed: 5);
        Assert.Equal([5f, 5f], tape.Gradient(sum)!.ToArray());
        Assert.Equal([10f, 10f], tape.Gradient(view)!.ToArray());
        Assert.Null(tape.Gradient(loss));
    }

    [Fact]
    public void Parameters_gather_gradients_over_tapes()
    {
        using var parameter = new Parameter("w", Tensor.From([1f, 2f], [2]));
        for (int part = 0; part < 3; part++)
        {
            using var tape = new Tape();
            tape.Backward(Reduce.Sum(tape, Add.Apply(tape, parameter, parameter)), seed: 0.5f);
        }

        Assert.Equal([3f, 3f], parameter.Gradient.ToArray());
    }
}
